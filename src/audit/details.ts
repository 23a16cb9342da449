import { storableJson } from '../lib/text.ts';

/** What an entry keeps of a request: bounded, and without what looks like a secret. */

const maximumLength = 4096;
const maximumText = 512;
/** Of a text so much is looked at: what comes later is not kept, however much of it is hidden. */
const maximumLooked = 16_384;
const maximumItems = 32;
const maximumDepth = 6;

export const hidden = '[hidden]';

const secretName = 'passw(?:or)?d|passphrase|secret|token|credential|api[-_]?key|private[-_]?key|pwd';
/** Of a key of an object, or an option of a program. */
const secretKey = new RegExp(`(?:${secretName})`, 'i');
const secretFlag = new RegExp(`^--?[\\w-]*(?:${secretName})$`, 'i');
/**
 * What callers send is matched here, also of those who are refused: no pattern may run from many places to the end of
 * a text. `password=…`, `Authorization: Bearer …` and the like within a text.
 */
const secretInText = new RegExp(
  `((?:${secretName}|authorization)[\\w-]{0,64}["']?\\s*[=:]\\s*["']?(?:bearer\\s+|basic\\s+)?)[^\\s"',;&]+`,
  'gi',
);
const secretInUrl = /(:\/\/[^/\s:@]*:)[^/\s@]+@/g;

/** Whether a text may hold a secret, told quickly: what holds none is kept as it is. */
const suspicious = new RegExp(`${secretName}|authorization|:\\/\\/[^/\\s@]*@`, 'i');
export const isSuspicious = (text: string): boolean => suspicious.test(text);
/** Short enough to be kept whole, and as PostgreSQL takes it. */
export const isPlain = (text: string): boolean =>
  text.length <= maximumText && !suspicious.test(text) && !text.includes('\\u');

function cutText(text: string): string {
  const looked = text.slice(0, maximumLooked);
  const clean = suspicious.test(looked)
    ? looked.replace(secretInText, `$1${hidden}`).replace(secretInUrl, `$1${hidden}@`)
    : looked;
  return clean.length <= maximumText && looked.length === text.length
    ? clean
    : `${clean.slice(0, maximumText).toWellFormed()}… (${text.length} characters)`;
}

function cut(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return cutText(value);
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return `(${value.byteLength} bytes)`;
  if (depth === maximumDepth) return '…';
  if (Array.isArray(value)) {
    const items = value.slice(0, maximumItems).map((item: unknown, at) => {
      const before: unknown = value[at - 1];
      return typeof before === 'string' && secretFlag.test(before) ? hidden : cut(item, depth + 1);
    });
    return value.length > maximumItems ? [...items, `… (${value.length} in all)`] : items;
  }
  const entries = Object.entries(value).filter(([key]) => !key.startsWith('$'));
  const kept = entries
    .slice(0, maximumItems)
    .map(([key, inner]) => [
      key.slice(0, maximumText),
      secretKey.test(key) && inner !== undefined && typeof inner !== 'boolean'
        ? hidden
        : cut(inner, depth + 1),
    ]);
  if (entries.length > maximumItems) kept.push(['…', `${entries.length} in all`]);
  return Object.fromEntries(kept);
}

/** A JSON object as text. */
export function detailsText(value: unknown): string {
  if (value === undefined) return '{}';
  const bounded = cut(value, 0);
  const whole =
    typeof bounded === 'object' && bounded !== null && !Array.isArray(bounded) ? bounded : { value: bounded };
  const text = storableJson(whole);
  if (text.length <= maximumLength) return text;
  return storableJson({
    excerpt: `${text.slice(0, maximumLength / 2).toWellFormed()}…`,
    length: text.length,
  });
}
