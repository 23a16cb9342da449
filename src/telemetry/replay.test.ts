import { expect, test } from 'vitest';
import { randomOf } from '../../test/support/random.ts';
import {
  boot,
  day,
  frame,
  midnight,
  minute,
  ownTelemetry,
  type SampleInit,
  sampleAt,
} from '../../test/support/telemetry.ts';
import { rollupLevels } from '../storage/telemetry-rollups.ts';
import { spansIn } from '../storage/telemetry-spans.ts';

/**
 * A day of many agents comes as it comes in the field: again, in another order, late, with gaps, and from clocks that
 * are wrong. What is kept and rolled up has to be what this file works out for itself.
 */

const agentCount = 24;
const intervalMs = 60_000;

interface Taken {
  agentId: string;
  boot: string;
  number: number;
  takenAt: number;
  cpu: number;
}

const pick = (random: () => number, below: number) => Math.floor(random() * below);

/** Milliseconds by which its clock is wrong. */
const aheadOf = (agentId: string) => (agentId.endsWith('7') ? 60 * minute : 0);

/** What the agents took, with restarts and gaps; some have a clock that is an hour ahead. */
function takenBy(random: () => number): Taken[] {
  const all: Taken[] = [];
  for (let n = 0; n < agentCount; n++) {
    const agentId = `agent-${n}`;
    let [name, number] = [0, 0];
    for (let at = midnight + pick(random, intervalMs); at < midnight + day; at += intervalMs) {
      if (random() < 0.05) at += pick(random, 20) * intervalMs;
      if (random() < 0.005) [name, number] = [name + 1, 0];
      number += 1;
      // Sixteenths add up without rounding.
      const cpu = pick(random, 1600) / 16;
      all.push({ agentId, boot: `boot-${name}`, number, takenAt: at + aheadOf(agentId), cpu });
    }
  }
  return all;
}

/** In the order in which it is sent: by time, but a tenth of it much later, and a tenth again. */
function deliveries(all: readonly Taken[], random: () => number): { at: number; taken: Taken }[] {
  return all
    .flatMap((taken) => {
      const delay = random() < 0.1 ? pick(random, 6 * 60) * minute : 0;
      const at = taken.takenAt - aheadOf(taken.agentId) + delay;
      const again = random() < 0.1 ? [{ at: at + pick(random, 120) * minute, taken }] : [];
      return [{ at, taken }, ...again];
    })
    .toSorted((a, b) => a.at - b.at);
}

interface Expected {
  samples: number;
  sum: number;
  min: number;
  max: number;
  p95: number;
}

/** From the end of the list: nothing of how the database does it. */
function expectedRollups(stored: ReadonlyMap<string, Taken & { at: number }>, seconds: number) {
  const spans = new Map<string, number[]>();
  for (const { agentId, at, cpu } of stored.values()) {
    const key = `${agentId} ${new Date(at - (at % (seconds * 1000))).toISOString()}`;
    spans.set(key, [...(spans.get(key) ?? []), cpu]);
  }
  return new Map<string, Expected>(
    [...spans].map(([key, values]) => {
      const sorted = values.toSorted((a, b) => a - b);
      return [
        key,
        {
          samples: sorted.length,
          sum: sorted.reduce((sum, value) => sum + value, 0),
          min: sorted[0] ?? Number.NaN,
          max: sorted.at(-1) ?? Number.NaN,
          p95: sorted[Math.ceil(0.95 * sorted.length) - 1] ?? Number.NaN,
        },
      ];
    }),
  );
}

test.each([1, 2])(
  'a day is kept and rolled up as an independent computation says (seed %i)',
  { timeout: 120_000 },
  async (seed) => {
    const random = randomOf(seed);
    const { telemetry, clock, count, rows, counted } = await ownTelemetry({ intervalMs }, midnight);
    const sent = deliveries(takenBy(random), random);
    const stored = new Map<string, Taken & { at: number }>();
    let [told, skewed] = [0, 0];
    telemetry.onStored((samples) => {
      for (const { superseded = 0 } of samples) told += 1 + superseded;
    });
    // Each step of ten minutes the clock goes on, what came meanwhile is sent in frames, and roll-ups are made.
    const stepMs = 10 * minute;
    for (let step = midnight, next = 0; next < sent.length; step += stepMs) {
      clock.advance(step - clock.now());
      const frames = new Map<string, Taken[]>();
      for (; next < sent.length; next++) {
        const delivery = sent[next];
        if (delivery === undefined || delivery.at > step) break;
        const { taken } = delivery;
        const key = `${taken.agentId} ${taken.boot}`;
        frames.set(key, [...(frames.get(key) ?? []), taken]);
        const name = `${key} ${taken.number}`;
        const wild = taken.takenAt > step + 5 * minute;
        if (!stored.has(name)) {
          stored.set(name, { ...taken, at: wild ? step : taken.takenAt });
          if (wild) skewed++;
        }
      }
      await Promise.all(
        [...frames.values()].flatMap((all) => {
          const parts: Taken[][] = [];
          for (let from = 0; from < all.length; from += 20) parts.push(all.slice(from, from + 20));
          return parts.map((part) => {
            const [first] = part;
            const source = { agentId: first?.agentId ?? '', bootId: boot(first?.boot) };
            const samples: SampleInit[] = part.map(({ number, takenAt, cpu }) =>
              sampleAt(number, takenAt, cpu),
            );
            return telemetry.ingest(source, frame(...samples));
          });
        }),
      );
      await telemetry.rollUp();
    }
    clock.advance(3 * 60 * minute);
    // Each level leads to the next after a moment.
    for (const _ of rollupLevels) {
      await telemetry.rollUp();
      clock.advance(minute);
    }
    expect(skewed).toBeGreaterThan(1000);
    expect(await count('telemetry_samples')).toBe(stored.size);
    expect(told).toBe(stored.size);
    expect(await counted('telemetrySamples', 'stored')).toBe(stored.size);
    expect(await counted('telemetrySamples', 'duplicate')).toBe(sent.length - stored.size);
    expect(await counted('telemetryMarked', 'skewed')).toBe(skewed);
    expect(await count('telemetry_dirty')).toBe(0);
    for (const { seconds, table } of rollupLevels) {
      const made = await rows<Expected & { agentId: string; at: Date }>(
        `select agent_id as "agentId", at, samples, cpu_sum as sum, cpu_min as min, cpu_max as max, cpu_p95 as p95
       from ${spansIn(table)} s where cpu_count = samples and load_max * 8 = cpu_max and disk_count is null and sent_p95 is null`,
      );
      const found = new Map(made.map(({ agentId, at, ...rest }) => [`${agentId} ${at.toISOString()}`, rest]));
      expect(found).toEqual(expectedRollups(stored, seconds));
    }
  },
);

test('a late sample changes the roll-ups of its time, at every level, and no others', async () => {
  const { telemetry, clock, rows } = await ownTelemetry({}, midnight + 12 * 60 * minute);
  const source = { agentId: 'alpha', bootId: boot() };
  const noon = midnight + 12 * 60 * minute;
  const settle = async () => {
    for (const { seconds } of rollupLevels) {
      clock.advance(seconds * 1000 + 2 * minute);
      await telemetry.rollUp();
    }
  };
  const maxima = async () =>
    Object.fromEntries(
      await Promise.all(
        rollupLevels.map(async ({ table }) => {
          const found = await rows<{ at: Date; samples: number; max: number }>(
            `select at, samples, cpu_max as max from ${spansIn(table)} s order by at`,
          );
          return [table, found.map(({ at, samples, max }) => [(at.getTime() - noon) / minute, samples, max])];
        }),
      ),
    );
  await telemetry.ingest(source, frame(sampleAt(1, noon, 10), sampleAt(4, noon + 20_000, 20)));
  expect(await telemetry.rollUp()).toBe(0);
  await settle();
  expect(await maxima()).toEqual({
    telemetry_minutes: [[0, 2, 20]],
    telemetry_quarters: [[0, 2, 20]],
    telemetry_hours: [[0, 2, 20]],
  });
  await telemetry.ingest(source, frame(sampleAt(2, noon + 10_000, 90), sampleAt(3, noon - 10 * minute, 30)));
  await settle();
  const after = {
    telemetry_minutes: [
      [-10, 1, 30],
      [0, 3, 90],
    ],
    telemetry_quarters: [
      [-15, 1, 30],
      [0, 3, 90],
    ],
    telemetry_hours: [
      [-60, 1, 30],
      [0, 3, 90],
    ],
  };
  expect(await maxima()).toEqual(after);
  // What was there before is no reason to do it again.
  await telemetry.ingest(source, frame(sampleAt(2, noon + 10_000, 90)));
  clock.advance(10 * minute);
  expect(await telemetry.rollUp()).toBe(0);
  expect(await maxima()).toEqual(after);
});
