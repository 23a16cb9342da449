import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ComposePsArgsSchema } from '#gen/viworks/verbs/v1/compose_pb.js';
import { ExecArgsSchema } from '#gen/viworks/verbs/v1/system_pb.js';
import { expectPlainToBeValid } from '../../test/support/plain.ts';
import { isPlainArgs } from './args-check.ts';

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.constantFrom(
    '',
    '/',
    '/tmp',
    'ü'.repeat(131_072),
    '/'.repeat(4096),
    `/${'😀'.repeat(4096)}`,
    'a'.repeat(131_073),
  ),
);
const args = fc
  .record({
    argv: fc.oneof(
      fc.array(text, { maxLength: 4 }),
      fc.constantFrom(1024, 1025).map((length) => Array.from({ length }, () => 'a')),
    ),
    workingDirectory: text,
    environment: fc.dictionary(fc.constantFrom('A', '1', ''), text, { maxKeys: 1 }),
  })
  .map((fields) => create(ExecArgsSchema, fields));

test('what it finds plain, the validator finds valid', () =>
  expectPlainToBeValid(ExecArgsSchema, args, isPlainArgs));

test('it covers every field of exec, and no other verb', () => {
  // A field or a rule that is added to the proto file is to be looked at by hand, too.
  expect(ExecArgsSchema.fields.map(({ name }) => name)).toEqual(['argv', 'working_directory', 'environment']);
  expect(isPlainArgs(create(ExecArgsSchema, { argv: ['true'] }))).toBe(true);
  expect(isPlainArgs(create(ExecArgsSchema, { argv: [''] }))).toBe(false);
  expect(isPlainArgs(create(ComposePsArgsSchema))).toBe(false);
});
