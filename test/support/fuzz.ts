import fc from 'fast-check';

/**
 * How long properties over hostile input run. `FUZZ_RUNS=20` runs each twenty times as long; a failure prints its seed
 * and path, with which `FUZZ_SEED` and `FUZZ_PATH` replay it.
 */
export function fuzz(runs: number): Pick<fc.Parameters<unknown>, 'numRuns' | 'seed' | 'path'> {
  const { FUZZ_RUNS, FUZZ_SEED, FUZZ_PATH } = process.env;
  return {
    numRuns: Math.ceil(runs * Number(FUZZ_RUNS ?? 1)),
    ...(FUZZ_SEED === undefined ? {} : { seed: Number(FUZZ_SEED) }),
    ...(FUZZ_PATH === undefined ? {} : { path: FUZZ_PATH }),
  };
}

/** Milliseconds that such a test may take. */
export const fuzzTimeout = 20_000 * Math.max(1, Number(process.env.FUZZ_RUNS ?? 1));

/** What is done to bytes on their way. */
export const damage = fc.oneof(
  fc.record({ what: fc.constant('flip' as const), at: fc.nat(), bit: fc.nat({ max: 7 }) }),
  fc.record({
    what: fc.constant('set' as const),
    at: fc.nat(),
    byte: fc.constantFrom(0, 1, 0x7f, 0x80, 0xff),
  }),
  fc.record({ what: fc.constant('cut' as const), at: fc.nat() }),
  fc.record({
    what: fc.constant('insert' as const),
    at: fc.nat(),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }),
  }),
  fc.record({ what: fc.constant('repeat' as const), at: fc.nat(), length: fc.nat({ max: 64 }) }),
);
export type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

export function damaged(bytes: Uint8Array, how: Damage): Uint8Array {
  const at = how.at % Math.max(bytes.length, 1);
  switch (how.what) {
    case 'flip':
      return bytes.map((byte, index) => (index === at ? byte ^ (1 << how.bit) : byte));
    case 'set':
      return bytes.map((byte, index) => (index === at ? how.byte : byte));
    case 'cut':
      return bytes.slice(0, at);
    case 'insert':
      return Buffer.concat([bytes.subarray(0, at), how.bytes, bytes.subarray(at)]);
    case 'repeat':
      return Buffer.concat([bytes, bytes.subarray(at, at + how.length)]);
  }
}

/** Bytes that are close to some that are good. */
export const mutated = (good: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(fc.constantFrom(...good), fc.array(damage, { maxLength: 4 }))
    .map(([bytes, all]) => all.reduce<Uint8Array>((now, how) => damaged(now, how), bytes));
