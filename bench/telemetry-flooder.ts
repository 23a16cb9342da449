import { setTimeout as delay } from 'node:timers/promises';
import { createCounter } from './support/counter.ts';
import { quantile, spreadOf, spreadText, table } from './support/figures.ts';
import type { Fleet } from './support/fleet.ts';

/**
 * One agent sends as much telemetry as it may, all the time, beside many that measure at a pace: how long the others
 * wait for their acknowledgements, without it and with it.
 */

interface Waited {
  p50: number;
  p99: number;
  /** Envelopes that were acknowledged. */
  count: number;
}

export interface FlooderSample {
  calm: Waited;
  flooded: Waited;
  /** Samples of the flooder that were acknowledged in a second. */
  flood: number;
}

export interface FlooderPlan {
  url: string;
  agents: number;
  warmUpMs: number;
  windowMs: number;
}

/** Milliseconds between two envelopes of the others. */
const everyMs = 200;
/** All that it may have unacknowledged. */
const flood = { each: 100, outstanding: 16 };

export async function measureFlooder(
  others: Fleet,
  flooder: Fleet,
  { url, agents, warmUpMs, windowMs }: FlooderPlan,
): Promise<FlooderSample> {
  const waited = async (): Promise<Waited> => {
    await delay(warmUpMs);
    await others.call('latencies');
    await delay(windowMs);
    const all = await others.call('latencies');
    return { p50: quantile(all, 0.5), p99: quantile(all, 0.99), count: all.length };
  };
  const stored = createCounter();
  flooder.on('settled', stored.add);
  const measuring = { each: 1, outstanding: 12, everyMs };
  await others.call('connect', { url, secured: true, count: agents, measuring });
  const calm = await waited();
  await flooder.call('connect', { url, secured: true, count: 1, measuring: flood });
  const [first, begun] = [stored.total, performance.now()];
  const flooded = await waited();
  const perSecond = ((stored.total - first) * 1000) / (performance.now() - begun);
  await flooder.call('disconnect');
  await others.call('disconnect');
  return { calm, flooded, flood: perSecond };
}

export function flooderReport(agents: number, samples: readonly FlooderSample[]): string {
  const of = (value: (sample: FlooderSample) => number) => spreadText(spreadOf(samples.map(value)));
  const middle = (value: (sample: FlooderSample) => number) => spreadOf(samples.map(value)).median;
  const met = middle(({ flooded }) => flooded.p99) <= 2 * middle(({ calm }) => calm.p99);
  return [
    `${agents} agents with a sample each ${everyMs} ms, sealed, and one that sends ${flood.each} an envelope with`,
    `${flood.outstanding} unacknowledged all the time; milliseconds from a sample to its acknowledgement.`,
    table(
      ['the others', 'p50', 'p99', 'flooder, samples a second', 'target'],
      [
        ['alone', of(({ calm }) => calm.p50), of(({ calm }) => calm.p99), '', ''],
        [
          'with the flooder',
          of(({ flooded }) => flooded.p50),
          of(({ flooded }) => flooded.p99),
          of((sample) => sample.flood),
          `p99 at most doubles: ${met ? 'met' : 'missed'}`,
        ],
      ],
    ),
  ].join('\n');
}
