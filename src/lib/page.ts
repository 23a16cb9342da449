import { invalidField } from '../errors.ts';
import { storableText } from './text.ts';

/** Cursor paging: the token names the last row of the page before, so that writes neither hide nor repeat rows. */
export interface PageRequest {
  /** 1 to 1000; of spans of telemetry to 1440. */
  size: number;
  token?: string | undefined;
}

export interface Page<T> {
  items: T[];
  /** Undefined on the last page. */
  nextToken: string | undefined;
}

export const defaultPageSize = 100;
export const maximumPageSize = 1000;

export function encodeToken(key: string): string {
  return Buffer.from(key, 'utf8').toString('base64url');
}

/** @param form what the key looks like @throws invalid_request */
export function decodeToken(token: string, form?: RegExp): string {
  const key = Buffer.from(token, 'base64url').toString('utf8');
  if (encodeToken(key) !== token || storableText(key) !== key || form?.test(key) === false)
    throw invalidField('pageToken', 'must be the token of the page before');
  return key;
}

/** The key of the last row of the page before; undefined on the first page. @throws invalid_request */
export const keyBefore = ({ token }: PageRequest, form?: RegExp): string | undefined =>
  token === undefined ? undefined : decodeToken(token, form);

/** Makes a page out of up to size + 1 rows: the extra one shows that there is more. */
export function pageOf<T>(rows: T[], size: number, keyOf: (row: T) => string): Page<T> {
  const items = rows.slice(0, size);
  const last = items.at(-1);
  return {
    items,
    nextToken: rows.length > size && last !== undefined ? encodeToken(keyOf(last)) : undefined,
  };
}
