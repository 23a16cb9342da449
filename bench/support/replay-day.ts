import { randomOf } from '../../test/support/random.ts';

/**
 * A day of telemetry as it comes in the field, of many agents: with restarts and gaps, again, in another order, hours
 * late, and from clocks that are wrong; and what has to be kept of it. Nothing here knows how the database does it.
 */

export const minuteMs = 60_000;
export const dayMs = 1440 * minuteMs;
/** The day begins, and with it each span. */
export const midnight = Date.parse('2026-03-02T00:00:00Z');
/** The server's clock goes on by this; what comes meanwhile comes together. */
export const stepMs = 10 * minuteMs;
const intervalMs = 30_000;
/** Milliseconds by which an agent's clock may be ahead to be believed. */
const aheadMs = 5 * minuteMs;

/** Samples of one agent, in the order in which they were taken. */
export interface AgentDay {
  agentId: string;
  /** By the agent's clock. */
  takenAt: number[];
  boot: number[];
  number: number[];
  /** Sixteenths, which add up without rounding. */
  cpu: number[];
  /** With which time it has to be stored; NaN until it came. */
  at: number[];
}

export interface Delivery {
  agent: number;
  sample: number;
}

export interface ReplayDay {
  agents: AgentDay[];
  /** What comes until each step of the server's clock. */
  steps: Delivery[][];
  deliveries: number;
}

const clockOf = (index: number): number =>
  index % 10 === 7 ? 60 * minuteMs : index % 10 === 3 ? -40 * minuteMs : 0;

export function makeDay(count: number, seed: number): ReplayDay {
  const random = randomOf(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const steps: Delivery[][] = [];
  let deliveries = 0;
  const deliver = (at: number, delivery: Delivery): void => {
    const step = Math.ceil((at - midnight) / stepMs);
    for (let missing = steps.length; missing <= step; missing++) steps.push([]);
    steps[step]?.push(delivery);
    deliveries += 1;
  };
  const agents = Array.from({ length: count }, (_, agent): AgentDay => {
    const made: AgentDay = { agentId: nameOf(agent), takenAt: [], boot: [], number: [], cpu: [], at: [] };
    const wrongBy = clockOf(agent);
    let [boot, number] = [0, 0];
    for (let at = midnight + below(intervalMs); at < midnight + dayMs; at += intervalMs) {
      if (random() < 0.005) at += below(40) * intervalMs;
      if (random() < 0.002) [boot, number] = [boot + 1, 0];
      number += 1;
      const sample = made.number.length;
      made.takenAt.push(at + wrongBy);
      made.boot.push(boot);
      made.number.push(number);
      made.cpu.push(below(1600) / 16);
      made.at.push(Number.NaN);
      const arrival = at + (random() < 0.1 ? below(6 * 60) * minuteMs : 0);
      deliver(arrival, { agent, sample });
      if (random() < 0.1) deliver(arrival + below(120) * minuteMs, { agent, sample });
    }
    return made;
  });
  for (const step of steps) shuffle(step, random);
  return { agents, steps, deliveries };
}

const nameOf = (agent: number): string => `agent-${String(agent).padStart(4, '0')}`;

function shuffle<T>(items: T[], random: () => number): void {
  for (let last = items.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [items[last], items[other]] = [items[other] as T, items[last] as T];
  }
}

/** The first time that it comes decides which time it is kept with. */
export function noteArrival(agent: AgentDay, sample: number, now: number): 'stored' | 'skewed' | 'again' {
  if (!Number.isNaN(agent.at[sample])) return 'again';
  const takenAt = agent.takenAt[sample] ?? Number.NaN;
  const wild = takenAt > now + aheadMs;
  agent.at[sample] = wild ? now : takenAt;
  return wild ? 'skewed' : 'stored';
}

export interface ExpectedSpan {
  at: number;
  samples: number;
  sum: number;
  min: number;
  max: number;
  p95: number;
}

/** What is left of an agent's samples in spans of so many seconds, in their order. */
export function expectedSpans({ at, cpu }: AgentDay, seconds: number): ExpectedSpan[] {
  const spans = new Map<number, number[]>();
  at.forEach((moment, sample) => {
    const start = moment - (moment % (seconds * 1000));
    const values = spans.get(start) ?? [];
    values.push(cpu[sample] ?? Number.NaN);
    spans.set(start, values);
  });
  return [...spans]
    .toSorted(([a], [b]) => a - b)
    .map(([start, values]) => {
      const sorted = values.toSorted((a, b) => a - b);
      return {
        at: start,
        samples: sorted.length,
        sum: sorted.reduce((sum, value) => sum + value, 0),
        min: sorted[0] ?? Number.NaN,
        max: sorted.at(-1) ?? Number.NaN,
        p95: sorted[Math.ceil(0.95 * sorted.length) - 1] ?? Number.NaN,
      };
    });
}
