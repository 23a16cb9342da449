import type { AppInputs } from '../api/trpc/router.ts';
import { defined } from '../lib/defined.ts';
import type { Client } from './client.ts';
import { UsageError } from './failure.ts';
import { paramsOf } from './params.ts';
import { optionalTargetOf, type TargetOptions } from './target.ts';

/** `viworks run --template`: what a template makes of the options. */

export interface TemplateOptions extends TargetOptions {
  template?: string;
  param?: string[];
  idempotencyKey?: string;
  correlationId?: string;
}

type RunInput = AppInputs['templates']['run'];

/** What a template says itself. */
const ofVerbs = [
  'arg',
  'args',
  'priority',
  'timeout',
  'ttl',
  'retries',
  'rollout',
  'canary',
  'batch',
  'maxInFlight',
  'failAt',
  'undeliveredAt',
  'deliveryTimeout',
  'pauseAfterCanary',
];

/** @throws UsageError that names an option which is only for a verb */
export function refuseVerbOptions(options: object, why: string, more: readonly string[] = []): void {
  const given = [...ofVerbs, ...more].find((name) => Reflect.get(options, name) !== undefined);
  if (given === undefined) return;
  throw new UsageError(`--${given.replaceAll(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}: ${why}`);
}

/** Of use only where there is no verb. @throws UsageError unless exactly one of a verb and a template was given */
export function templateOf(verb: string | undefined, options: TemplateOptions): RunInput {
  const { template: name, param, idempotencyKey, correlationId } = options;
  if (name === undefined && verb === undefined) throw new UsageError('give a verb, or --template NAME');
  if (name === undefined && param !== undefined) throw new UsageError('--param: is for --template');
  if (name !== undefined && verb !== undefined) {
    throw new UsageError('give a verb or --template, not both; values go into --param NAME=VALUE');
  }
  if (name !== undefined) refuseVerbOptions(options, 'is for a verb; the template says it');
  return {
    name: name ?? '',
    params: paramsOf(param),
    ...(verb === undefined ? optionalTargetOf(options) : {}),
    ...defined({ idempotencyKey, correlationId }),
  };
}

/** What the template would submit. */
export async function renderedOf(
  client: Client,
  { name, params, target }: RunInput,
): Promise<AppInputs['commands']['submit']> {
  const { command } = await client.templates.render.query({
    name,
    ...(params && { params }),
    ...(target && { target }),
  });
  if (command.target === undefined) throw new UsageError('choose the agents; the template names none');
  return { ...command, target: command.target } as AppInputs['commands']['submit'];
}
