import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect } from 'vitest';
import { problemsOf } from '../../src/protocol/validation.ts';

/** Whatever a check by hand finds plain, the validator finds valid; and it finds some of them plain. */
export function expectPlainToBeValid<Schema extends DescMessage>(
  schema: Schema,
  messages: fc.Arbitrary<MessageShape<Schema>>,
  isPlain: (message: MessageShape<Schema>) => boolean,
): void {
  let plain = 0;
  fc.assert(
    fc.property(messages, (message) => {
      if (!isPlain(message)) return;
      plain += 1;
      expect(problemsOf(schema, message)).toEqual([]);
    }),
    { numRuns: 2000 },
  );
  expect(plain).toBeGreaterThan(20);
}
