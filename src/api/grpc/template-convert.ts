import { fromJson, type MessageInitShape } from '@bufbuild/protobuf';
import {
  durationFromMs,
  durationMs,
  timestampFromDate,
  type Value,
  ValueSchema,
} from '@bufbuild/protobuf/wkt';
import type { z } from 'zod';
import {
  type CommandDraft as CommandDraftMessage,
  type CommandDraftSchema,
  ParameterType as ParameterTypeMessage,
  type TemplateParameter,
  type TemplateSchema,
  type TemplateSpec,
} from '#gen/viworks/control/v1/template_pb.js';
import { planOf } from '../../commands/rollouts/decide.ts';
import { defined } from '../../lib/defined.ts';
import type { CommandDraft, Parameter, ParameterType, Template } from '../../templates/types.ts';
import type { draftInput, saveTemplateInput } from '../schemas/templates.ts';
import { priorityMessage, priorityOf, targetMessage } from './convert.ts';
import { inverse } from './enums.ts';
import { planMessage, readPlan } from './rollout-convert.ts';
import { readTarget, specField } from './submit.ts';

/** Between the templates of the core and those of viworks.control.v1. What is read is checked by its schema. */

const typeMessage: Record<ParameterType, ParameterTypeMessage> = {
  string: ParameterTypeMessage.STRING,
  integer: ParameterTypeMessage.INTEGER,
  number: ParameterTypeMessage.NUMBER,
  boolean: ParameterTypeMessage.BOOLEAN,
  enum: ParameterTypeMessage.ENUM,
};
const typeOf = inverse(typeMessage);

export function draftMessage(draft: CommandDraft): MessageInitShape<typeof CommandDraftSchema> {
  const { verb, args = {}, target, priority, timeoutMs, timeToLiveMs, maxRetries, rollout } = draft;
  return {
    verb,
    args,
    correlationId: draft.correlationId ?? '',
    ...(target && { target: targetMessage(target) }),
    ...(priority && { priority: priorityMessage[priority] }),
    ...(timeoutMs !== undefined && { timeout: durationFromMs(timeoutMs) }),
    ...(timeToLiveMs !== undefined && { timeToLive: durationFromMs(timeToLiveMs) }),
    ...(maxRetries !== undefined && { maxRetries }),
    ...(rollout && { rollout: planMessage(planOf(rollout)) }),
  };
}

/** Without what is unset. */
export function readDraft(message: CommandDraftMessage | undefined): Partial<z.input<typeof draftInput>> {
  if (message === undefined) return {};
  const { verb, args, target, priority, timeout, timeToLive, correlationId, maxRetries, rollout } = message;
  return defined({
    verb,
    args: args ?? {},
    target: readTarget(target),
    priority: priorityOf(priority),
    timeoutMs: timeout && Math.ceil(durationMs(timeout)),
    timeToLiveMs: timeToLive && Math.ceil(durationMs(timeToLive)),
    correlationId: correlationId || undefined,
    maxRetries,
    rollout: rollout && readPlan(rollout),
  }) as Partial<z.input<typeof draftInput>>;
}

export function templateMessage(template: Template): MessageInitShape<typeof TemplateSchema> {
  const { name, description, parameters, command, revision, updatedBy, createdAt, updatedAt } = template;
  return {
    spec: {
      name,
      description,
      parameters: parameters.map(parameterMessage),
      command: draftMessage(command),
    },
    revision,
    updatedBy,
    createdAt: timestampFromDate(createdAt),
    updatedAt: timestampFromDate(updatedAt),
  };
}

function parameterMessage(parameter: Parameter) {
  const { type, default: preset, example, values = [], description = '', pattern = '', ...rest } = parameter;
  return {
    ...defined(rest),
    name: parameter.name,
    description,
    pattern,
    type: typeMessage[type],
    values: [...values],
    ...(preset !== undefined && { defaultValue: fromJson(ValueSchema, preset) }),
    ...(example !== undefined && { example: fromJson(ValueSchema, example) }),
  };
}

export function readTemplate(spec: TemplateSpec | undefined, revision: number) {
  return {
    name: spec?.name,
    description: spec?.description,
    parameters: spec?.parameters.map(readParameter),
    command: readDraft(spec?.command),
    ...(revision === 0 ? {} : { revision }),
  } as Partial<z.input<typeof saveTemplateInput>>;
}

function readParameter(message: TemplateParameter) {
  const { name, description, type, required, defaultValue, example, pattern, min, max, values } = message;
  return defined({
    name,
    description: description || undefined,
    type: typeOf(type),
    required,
    default: readValue(defaultValue),
    example: readValue(example),
    pattern: pattern || undefined,
    min,
    max,
    values: values.length === 0 ? undefined : values,
  });
}

/** What is neither text, a number, true nor false is left to the schema to refuse. */
const readValue = (message: Value | undefined) =>
  message === undefined ? undefined : (message.kind.value ?? null);

/** A field of a template as SaveTemplateRequest names it. */
export function templateField(field: string): string {
  if (field === 'revision') return field;
  const preset = field.replace(/^(parameters\[\d+\])\.default$/, '$1.default_value');
  return `spec.${preset.startsWith('command.') ? draftField('command', preset) : preset}`;
}

/** A field of a draft that lies under a parent. */
export const draftField = (parent: string, field: string): string =>
  `${parent}.${specField(field.slice(parent.length + 1))}`;
