import { z } from 'zod';
import { type Statistics, statisticsGroups } from '../../commands/types.ts';
import { countSchema, timeSchema } from './common.ts';

/** Figures over the commands of a span of time. */

export const statisticsInput = z
  .strictObject({
    by: z.enum(statisticsGroups).default('verb'),
    /** Of commands that were submitted from then on. Absent: a day before `to`. */
    from: timeSchema.transform((text) => new Date(text)).optional(),
    /** And before. Absent: now. */
    to: timeSchema.transform((text) => new Date(text)).optional(),
  })
  .prefault({});

const millisecondsSchema = z.number().nonnegative();

export const statisticsOutput = z.strictObject({
  from: timeSchema,
  to: timeSchema,
  /** At most a thousand, the largest first. */
  statistics: z.array(
    z.strictObject({
      /** The verb, agent, site, actor, priority or state. */
      key: z.string(),
      total: countSchema,
      succeeded: countSchema,
      failed: countSchema,
      timedOut: countSchema,
      cancelled: countSchema,
      expired: countSchema,
      outcomeUnknown: countSchema,
      /** From submit to the first hand-over to an agent; absent where there was none. */
      waitMs: z.strictObject({ p50: millisecondsSchema, p95: millisecondsSchema }).optional(),
      /** What the work took, by the agents' clocks; absent where nothing ended. */
      runMs: z
        .strictObject({ p50: millisecondsSchema, p95: millisecondsSchema, maximum: millisecondsSchema })
        .optional(),
    }),
  ),
});
export type StatisticsView = z.output<typeof statisticsOutput>;

const dayMs = 24 * 3_600_000;

/** Without both ends it is the last day. */
export function spanOf(input: { from?: Date | undefined; to?: Date | undefined }, now: number) {
  const to = input.to ?? new Date(now);
  return { from: input.from ?? new Date(Math.max(0, to.getTime() - dayMs)), to };
}

export function statisticsView(span: { from: Date; to: Date }, statistics: Statistics[]): StatisticsView {
  return { from: span.from.toISOString(), to: span.to.toISOString(), statistics };
}
