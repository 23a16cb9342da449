import { z } from 'zod';
import { parameterTypes, type Template } from '../../templates/types.ts';
import { submitInput } from './commands.ts';
import { countSchema, jsonObjectSchema, nextPageToken, pageInput, timeSchema, timeView } from './common.ts';
import { rolloutInput } from './rollouts.ts';
import { targetInput, targetSchema, targetView } from './targets.ts';

/** Templates and what is put into them. */

export const nameSchema = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, {
  error: 'must be 1 to 63 characters of a-z, 0-9, dot, underscore and hyphen, and begin with a-z or 0-9',
});
export const descriptionSchema = z.string().max(1024);
/** Of what is changed, as it was read. */
export const revisionSchema = z.int().min(1).max(2_147_483_647);

const valueSchema = z.union([z.string().max(16_384), z.number(), z.boolean()], {
  error: 'must be text, a number, true or false',
});

const parameterSchema = z.strictObject({
  name: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,62}$/, {
    error: 'must be 1 to 63 letters, digits and underscores, and not begin with a digit',
  }),
  description: descriptionSchema.optional(),
  type: z.enum(parameterTypes),
  /** Whoever uses the template has to give it. Absent: yes, unless it has a default. */
  required: z.boolean().optional(),
  default: valueSchema.optional(),
  /** What the template is tried with when it is saved. Absent: the default, or a value that fits the type. */
  example: valueSchema.optional(),
  /** string: a regular expression that the whole text matches. */
  pattern: z.string().min(1).max(512).optional(),
  /** integer and number: bounds of the value; string: bounds of its length. */
  min: z.number().optional(),
  max: z.number().optional(),
  /** enum: the values to choose from. */
  values: z.array(z.string().max(1024)).max(1000).optional(),
});

/** What is to be submitted, as far as it is known before; without a target, whoever uses it says where. */
export const draftInput = submitInput
  .omit({ idempotencyKey: true, target: true, rollout: true })
  .extend({ target: targetInput.optional(), rollout: rolloutInput.optional() });

export const draftSchema = submitInput
  .omit({ idempotencyKey: true, target: true })
  .extend({ args: jsonObjectSchema, target: targetSchema.optional() });
export type DraftView = z.output<typeof draftSchema>;

export const draftView = ({ args = {}, target, ...rest }: Template['command']): DraftView =>
  structuredClone({ ...rest, args, ...(target && { target: targetView(target) }) }) as DraftView;

const specFields = {
  name: nameSchema,
  description: descriptionSchema.default(''),
  /** In the order in which they are asked for. */
  parameters: z.array(parameterSchema).max(50).default([]),
};

const templateSchema = z.strictObject({
  ...specFields,
  command: draftSchema,
  revision: countSchema,
  updatedBy: z.string(),
  createdAt: timeSchema,
  updatedAt: timeSchema,
});
export type TemplateView = z.output<typeof templateSchema>;

export function templateView({ createdAt, updatedAt, parameters, command, ...rest }: Template): TemplateView {
  return {
    ...rest,
    parameters: structuredClone(parameters) as TemplateView['parameters'],
    command: draftView(command),
    createdAt: timeView(createdAt),
    updatedAt: timeView(updatedAt),
  };
}

export const listTemplatesInput = z.strictObject(pageInput).prefault({});
export const listTemplatesOutput = z.strictObject({ templates: z.array(templateSchema), nextPageToken });
export const templateOutput = z.strictObject({ template: templateSchema });
export const getTemplateInput = z.strictObject({ name: nameSchema });
export const saveTemplateInput = z.strictObject({
  ...specFields,
  /** Strings in its args may have places for parameters: `{{name}}`. */
  command: draftInput,
  /** Of the template that it replaces; absent for a new one. */
  revision: revisionSchema.optional(),
});
export const deleteTemplateInput = z.strictObject({
  name: nameSchema,
  /** That it must have. */
  revision: revisionSchema.optional(),
});
export const deleteOutput = z.strictObject({});

export const paramsSchema = z
  .record(z.string().max(63), z.json())
  .refine((params) => Object.keys(params).length <= 50, { error: 'must be at most 50 values' });

export const renderTemplateInput = z.strictObject({
  name: nameSchema,
  /** A value for each parameter; the text of a value is taken for it. */
  params: paramsSchema.default({}),
  /** In place of the template's own. */
  target: targetInput.optional(),
});
export const renderTemplateOutput = z.strictObject({ command: draftSchema });
export const runTemplateInput = renderTemplateInput.extend({
  /** The same key and the same command give the first answer again. */
  idempotencyKey: z.string().min(1).max(128).optional(),
  /** In place of the template's own. */
  correlationId: z.string().max(128).optional(),
});
