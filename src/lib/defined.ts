type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The same without the fields that are undefined, for callees that tell an absent field from an undefined one. */
export const defined = <T extends object>(values: T): Defined<T> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Defined<T>;
