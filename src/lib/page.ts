import { ViworksError } from '../errors.ts';
import { storableText } from './text.ts';

/** Cursor paging: the token names the last row of the page before, so that writes neither hide nor repeat rows. */
export interface PageRequest {
  /** 1 to 1000. */
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

/** @throws invalid_request */
export function decodeToken(token: string, field = 'pageToken'): string {
  const key = Buffer.from(token, 'base64url').toString('utf8');
  if (encodeToken(key) !== token || storableText(key) !== key) {
    throw new ViworksError('invalid_request', `${field}: must be the token of the page before`, {
      fields: [{ field, problem: 'must be the token of the page before' }],
    });
  }
  return key;
}

/** Makes a page out of up to size + 1 rows: the extra one shows that there is more. */
export function pageOf<T>(rows: T[], size: number, keyOf: (row: T) => string): Page<T> {
  const items = rows.slice(0, size);
  const last = items.at(-1);
  return {
    items,
    nextToken: rows.length > size && last !== undefined ? encodeToken(keyOf(last)) : undefined,
  };
}
