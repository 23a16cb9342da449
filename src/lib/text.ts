/**
 * PostgreSQL stores neither NUL nor half a surrogate pair in text and jsonb, and agents may send both. What
 * cannot be stored is replaced by U+FFFD, so that one odd string never stops a batch.
 */
export function storableText(text: string): string {
  return isStorable(text) ? text : text.toWellFormed().replaceAll('\u0000', '\ufffd');
}

export const isStorable = (text: string) => text.isWellFormed() && !text.includes('\u0000');

/** JSON that PostgreSQL takes as jsonb. */
export function storableJson(value: unknown): string {
  const text = JSON.stringify(value);
  // Nearly always as it is; the escapes of NUL and of half a pair show in the text.
  if (!/\\u(?:0000|d[89a-f])/i.test(text)) return text;
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'string') return storableText(part);
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).map(([key, inner]) => [storableText(key), inner]));
  });
}

/** The path of the first string that could not be stored as it is, for example `argv[1]`. */
export function findUnstorable(value: unknown): string | undefined {
  if (typeof value === 'string') return isStorable(value) ? undefined : '';
  if (typeof value !== 'object' || value === null) return undefined;
  if (Array.isArray(value)) {
    for (const [at, part] of value.entries()) {
      const found = findUnstorable(part);
      if (found !== undefined) return joinPath(`[${at}]`, found);
    }
    return undefined;
  }
  for (const [key, part] of Object.entries(value)) {
    const found = isStorable(key) ? findUnstorable(part) : '';
    if (found !== undefined) return joinPath(key, found);
  }
  return undefined;
}

const joinPath = (path: string, inner: string) =>
  inner === '' || inner.startsWith('[') ? path + inner : `${path}.${inner}`;

/** Whether a JSON value has more levels of lists and objects than these: what reads it goes in as deep. */
export function isDeeperThan(levels: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((part) => isDeeperThan(levels - 1, part));
}

/** JSON with the keys of every object in order: equal values give equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
