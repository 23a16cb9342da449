import { invalidField } from '../errors.ts';
import { storableText } from '../lib/text.ts';
import { metricNames, metricOf } from './metrics.ts';
import { durationProblem, longestDurationMs, type Rule, type RuleInput } from './types.ts';

/** What a rule must be, and those that the system brings along. */

export type CheckedRule = Omit<Rule, 'revision' | 'updatedBy' | 'createdAt' | 'updatedAt'>;

/** With all that was left out. @throws invalid_request */
export function checkRule(input: RuleInput): CheckedRule {
  const { name, description = '', enabled = true, severity, metric, threshold, selector = {} } = input;
  const kind = metricOf(metric);
  if (kind === undefined)
    throw invalidField('metric', `must be one of ${metricNames.join(', ')}, or metrics. and a name`);
  const { comparison = kind.comparison, clearThreshold = threshold, forMs = 0, clearForMs = 0 } = input;
  if (!Number.isFinite(threshold)) throw invalidField('threshold', 'must be a number');
  if (!Number.isFinite(clearThreshold)) throw invalidField('clearThreshold', 'must be a number');
  if (comparison === 'above' ? clearThreshold > threshold : clearThreshold < threshold) {
    const side = comparison === 'above' ? 'at most' : 'at least';
    throw invalidField('clearThreshold', `must be ${side} the threshold of a rule with ${comparison}`);
  }
  for (const [field, ms] of Object.entries({ forMs, clearForMs })) {
    if (!Number.isInteger(ms) || ms < 0 || ms > longestDurationMs) throw invalidField(field, durationProblem);
  }
  return {
    name,
    description: storableText(description),
    enabled,
    severity,
    metric,
    comparison,
    threshold,
    clearThreshold,
    forMs,
    clearForMs,
    selector,
  };
}

const minute = 60_000;

/** Made once; people may change and delete them. */
export const seededRules: readonly RuleInput[] = [
  ...usage('cpu', 'cpu.percent', 80, 95, 5 * minute),
  ...usage('memory', 'memory.percent', 85, 95, 5 * minute),
  ...usage('disk', 'disk.percent', 85, 95, 2 * minute),
  {
    name: 'disk-full-soon',
    description: 'A disk will be full within 24 hours if it goes on filling as it does.',
    severity: 'warning',
    metric: 'disk.full_hours',
    threshold: 24,
    clearThreshold: 36,
    forMs: 15 * minute,
    clearForMs: 15 * minute,
  },
  {
    name: 'container-unhealthy',
    description: 'The check of a container fails.',
    severity: 'critical',
    metric: 'container.unhealthy',
    threshold: 0,
    forMs: 2 * minute,
    clearForMs: minute,
  },
  {
    name: 'service-down',
    description: 'A service does not run.',
    severity: 'critical',
    metric: 'service.down',
    threshold: 0,
    forMs: minute,
    clearForMs: minute,
  },
  {
    name: 'agent-offline',
    description: 'An agent is not connected.',
    severity: 'critical',
    metric: 'agent.offline',
    threshold: 0,
    forMs: 2 * minute,
    clearForMs: minute,
  },
];

/** It ends five percent lower than it begins. */
function usage(what: string, metric: string, warning: number, critical: number, forMs: number): RuleInput[] {
  const rule = (name: string, severity: RuleInput['severity'], threshold: number): RuleInput => ({
    name,
    description: `Much of the ${what} is used.`,
    severity,
    metric,
    threshold,
    clearThreshold: threshold - 5,
    forMs,
    clearForMs: 2 * minute,
  });
  return [rule(`${what}-high`, 'warning', warning), rule(`${what}-critical`, 'critical', critical)];
}
