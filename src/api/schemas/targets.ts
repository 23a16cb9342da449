import { z } from 'zod';
import type { CommandPlan, Target } from '../../commands/types.ts';
import { agentStatusSchema } from './agents.ts';
import { agentIdSchema, anyOf, countSchema, labelsSchema, siteSchema } from './common.ts';

/** Agents that one command may name; a site, a selector or the whole fleet may be larger. */
const maximumTargets = 10_000;

/** Values of one part of a selector. */
const few = 100;

const capabilitySchema = z.string().min(1).max(64);

/** Every part that is set must match; of several values any, of capabilities and labels all. */
const selectorSchema = z
  .strictObject({
    sites: anyOf(siteSchema, few),
    capabilities: anyOf(capabilitySchema, few),
    labels: labelsSchema.optional(),
    os: anyOf(z.string().min(1).max(64), few),
    statuses: anyOf(agentStatusSchema, few),
  })
  .refine((selector) => Object.values(selector).some((part) => part !== undefined), {
    error: 'must set at least one of sites, capabilities, labels, os and statuses',
  });

/** Only one of them: the one that has the least to do. */
const anyOne = z.literal(true).optional();

export const targetInput = z.union(
  [
    z.strictObject({
      agents: z
        .array(agentIdSchema)
        .min(1, { error: 'must name at least one agent' })
        .max(maximumTargets, { error: `must name at most ${maximumTargets} agents` })
        .refine((ids) => new Set(ids).size === ids.length, { error: 'must name each agent once' }),
      anyOne,
    }),
    z.strictObject({ site: siteSchema, anyOne }),
    z.strictObject({ selector: selectorSchema, anyOne }),
    z.strictObject({ all: z.literal(true), anyOne }),
  ],
  { error: 'must be {agents: […]}, {site: …}, {selector: {…}} or {all: true}' },
);

const labels = z.record(z.string(), z.string()).optional();
const texts = z.array(z.string()).optional();

export const targetSchema = z.union([
  z.strictObject({ agents: z.array(z.string()), anyOne }),
  z.strictObject({ site: z.string(), anyOne }),
  z.strictObject({
    selector: z.strictObject({
      sites: texts,
      capabilities: texts,
      labels,
      os: texts,
      statuses: z.array(agentStatusSchema).optional(),
    }),
    anyOne,
  }),
  z.strictObject({ all: z.literal(true), anyOne }),
]);

/** The core’s lists are read-only; a view’s are the reader’s own. */
export const targetView = (target: Target): z.output<typeof targetSchema> =>
  structuredClone(target) as z.output<typeof targetSchema>;

export const planOutput = z.strictObject({
  /** How many agents would get an execution, and how many would not. */
  chosenCount: countSchema,
  leftOutCount: countSchema,
  /** The first thousand: the state in which each execution would begin, and why not at once. */
  chosen: z.array(
    z.strictObject({
      agentId: z.string(),
      state: z.enum(['sent', 'queued', 'held']),
      reason: z.string().optional(),
    }),
  ),
  /** The first thousand, and why. */
  leftOut: z.array(z.strictObject({ agentId: z.string(), reason: z.string() })),
});

export function planView({ spec: _, chosen, leftOut, ...counts }: CommandPlan): z.output<typeof planOutput> {
  return { ...counts, chosen, leftOut };
}
