import { type Command, InvalidArgumentError } from 'commander';
import type { AppInputs } from '../api/trpc/router.ts';
import { defined } from '../lib/defined.ts';
import { wholeNumber } from './options.ts';

/** The options of `viworks run` that make a rollout of a command. */
export interface RolloutOptions {
  rollout?: boolean;
  canary?: number;
  batch?: Plan['batch'];
  maxInFlight?: number;
  failAt?: Threshold;
  undeliveredAt?: Threshold;
  deliveryTimeout?: number;
  pauseAfterCanary?: boolean;
}

type Plan = NonNullable<AppInputs['commands']['submit']['rollout']>;
type Threshold = NonNullable<Plan['failureThreshold']>;

const maximumAgents = 100_000;
/** Of a threshold that names none. */
const defaultSample = 5;

/** @param duration the parser of options that take a duration */
export function withRolloutOptions(command: Command, duration: (text: string) => number): Command {
  const count = wholeNumber(1, maximumAgents);
  return command
    .option('--rollout', 'in steps: a canary, then batch by batch; any option below says the same')
    .option(
      '--canary <agents>',
      'so many first, all of which must succeed (default: 1)',
      wholeNumber(0, maximumAgents),
    )
    .option('--batch <size>', 'agents of a batch, as 10 or 25% (default: 25%)', batchSize)
    .option('--max-in-flight <agents>', 'so many at once within a batch (default: all of it)', count)
    .option(
      '--fail-at <threshold>',
      'stop when so many fail, as 20%/10: a share of at least 10 (default: 10%/5)',
      threshold,
    )
    .option(
      '--undelivered-at <threshold>',
      'stop when so many cannot be delivered (default: never)',
      threshold,
    )
    .option('--delivery-timeout <duration>', 'how long each may wait for its agent (default: 5m)', duration)
    .option('--pause-after-canary', 'wait for `viworks rollouts resume` after the canary');
}

/** The plan that was asked for, or undefined where the command goes everywhere at once. */
export function rolloutOf(options: RolloutOptions): Plan | undefined {
  const { rollout, canary, batch, maxInFlight, failAt, undeliveredAt, deliveryTimeout } = options;
  const plan: Plan = {
    ...defined({
      canary,
      batch,
      maxInFlight,
      failureThreshold: failAt,
      deliveryFailureThreshold: undeliveredAt,
      deliveryTimeoutMs: deliveryTimeout,
    }),
    ...(options.pauseAfterCanary === true ? { pauseAfterCanary: true } : {}),
  };
  return rollout === true || Object.keys(plan).length > 0 ? plan : undefined;
}

export function batchSize(text: string): NonNullable<Plan['batch']> {
  const [, share] = /^(\d+(?:\.\d+)?)%$/.exec(text) ?? [];
  const value = Number(share ?? text);
  if (share !== undefined && value > 0 && value <= 100) return { percent: value };
  if (share === undefined && /^\d+$/.test(text) && value >= 1 && value <= maximumAgents)
    return { agents: value };
  throw new InvalidArgumentError('must be a number of agents such as 10, or a share of them such as 25%');
}

export function threshold(text: string): Threshold {
  const [, share, sample = String(defaultSample)] = /^(\d+(?:\.\d+)?)%(?:\/(\d+))?$/.exec(text) ?? [];
  const [percent, minimumSample] = [Number(share), Number(sample)];
  if (percent <= 100 && minimumSample >= 1 && minimumSample <= maximumAgents)
    return { percent, minimumSample };
  throw new InvalidArgumentError('must be a share such as 20%, or of at least so many such as 20%/10');
}
