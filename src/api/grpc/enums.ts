/** Between the words of the core and the numbers of an enum of protobuf. */

/** Keys of T, backwards; a number that stands for none of them gives undefined. */
export function inverse<K extends string, V>(record: Record<K, V>): (value: V) => K | undefined {
  const keys = new Map<V, K>();
  for (const key in record) keys.set(record[key], key);
  return (value) => keys.get(value);
}
