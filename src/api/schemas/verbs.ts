import { z } from 'zod';
import type { VerbField } from '../../protocol/verb-field.ts';
import { exampleOf, fieldsOf, typeInWords } from '../../protocol/verb-fields.ts';
import type { VerbSpec } from '../../protocol/verbs.ts';
import { countSchema, jsonObjectSchema } from './common.ts';

/** The catalogue of what can be submitted. */

const verbSchema = z.strictObject({
  name: z.string(),
  summary: z.string(),
  effect: z.enum(['read', 'idempotent', 'once']),
  risk: z.enum(['low', 'elevated', 'destructive']),
  defaultTimeoutMs: countSchema,
  capability: z.string(),
  /** The field of the args that arguments without a name go to; empty if there is none. */
  positional: z.string(),
  /** Full names of the protobuf messages, which server reflection describes; absent for verbs of a plug-in. */
  argsMessage: z.string().optional(),
  resultMessage: z.string().optional(),
});

const verbFieldSchema = z.strictObject({
  name: z.string(),
  /** In words, for example "list of text". */
  type: z.string(),
  required: z.boolean(),
  /** What a value must be, in words; empty if anything of its type will do. */
  rule: z.string(),
  /** The only values that are allowed; empty if there are others. */
  choices: z.array(z.string()),
  /** What leaving it out means; empty for nothing. */
  default: z.string(),
  help: z.string(),
});

const verbDetailSchema = verbSchema.extend({
  args: z.array(verbFieldSchema),
  result: z.array(verbFieldSchema),
  /** A command line. */
  example: z.string(),
  /** JSON Schemas of the args and of the result of a verb of a plug-in. */
  argsSchema: jsonObjectSchema.optional(),
  resultSchema: jsonObjectSchema.optional(),
});
export type VerbDetail = z.output<typeof verbDetailSchema>;

export const listVerbsOutput = z.strictObject({ verbs: z.array(verbSchema) });
export const getVerbInput = z.strictObject({ name: z.string().min(1).max(64) });
export const getVerbOutput = z.strictObject({ verb: verbDetailSchema });

export function verbView(verb: VerbSpec): z.output<typeof verbSchema> {
  const { args, result, ...rest } = verb;
  return {
    ...rest,
    ...(args.kind === 'message' && { argsMessage: args.message.typeName }),
    ...(result.kind === 'message' && { resultMessage: result.message.typeName }),
  };
}

export function verbDetailView(verb: VerbSpec): VerbDetail {
  return {
    ...verbView(verb),
    args: fieldsOf(verb.args).map(fieldView),
    result: fieldsOf(verb.result).map(fieldView),
    example: exampleOf(verb),
    ...(verb.args.kind === 'json' && { argsSchema: verb.args.schema }),
    ...(verb.result.kind === 'json' && { resultSchema: verb.result.schema }),
  };
}

export function fieldView(field: VerbField): z.output<typeof verbFieldSchema> {
  const { name, required, rule, choices, default: preset, help } = field;
  return { name, type: typeInWords(field), required, rule, choices: [...choices], default: preset, help };
}
