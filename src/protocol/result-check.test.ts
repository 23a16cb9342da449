import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ResultSchema } from '#gen/viworks/agent/v1/command_pb.js';
import { expectPlainToBeValid } from '../../test/support/plain.ts';
import { isPlainResult } from './result-check.ts';

const textUpTo = (limit: number) => fc.string({ unit: 'grapheme', maxLength: limit + 8, size: 'max' });

const results = fc
  .record({
    executionId: fc.oneof(
      fc.uuid(),
      fc.uuid().map((id) => id.toUpperCase()),
      fc.string(),
    ),
    attempt: fc.nat({ max: 3 }),
    outcome: fc.integer({ min: -1, max: 9 }),
    signal: textUpTo(16),
    failure: fc.option(fc.record({ code: textUpTo(64), message: textUpTo(4096) }), { nil: undefined }),
    exitCode: fc.option(fc.integer({ min: -5, max: 300 }), { nil: undefined }),
  })
  .map(({ failure, exitCode, ...rest }) =>
    create(ResultSchema, {
      ...rest,
      ...(failure && { failure }),
      ...(exitCode !== undefined && { exitCode }),
    }),
  );

test('what it finds plain, the validator finds valid', () =>
  expectPlainToBeValid(ResultSchema, results, isPlainResult));

test('it covers every rule that a RESULT has', () => {
  // A rule that is added to the proto file is to be looked at by hand, too.
  const ruled = ResultSchema.fields.filter((field) => field.proto.options !== undefined).map((f) => f.name);
  expect(ruled).toEqual(['execution_id', 'attempt', 'outcome', 'signal']);
});
