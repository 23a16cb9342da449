import type { StoredSample } from '../storage/sample-rows.ts';
import { isNewer } from '../telemetry/latest.ts';
import { createLog } from './log.ts';
import type { Change, Mirror } from './mirror.ts';

/** What a sample says in its columns. */
export type Headline = Omit<StoredSample, 'sample'>;

/**
 * The newest sample of each agent, and in which order they came. What a reader did not read in time is not kept for it:
 * of several samples of an agent the newest is what counts, and the others are told as a number.
 */
export interface Board {
  readonly head: number;
  get(agentId: string): Headline | undefined;
  /** Takes what is newer than what it has. What an agent kept for a while is history, and not told. */
  put(samples: readonly StoredSample[]): void;
  /** Takes what it has nothing of, without telling it. */
  seed(samples: readonly StoredSample[]): void;
  /** An agent is no more: neither is what it measured, also for who did not read it yet. */
  forget(agentId: string): void;
  /** Forgets agents that there are no more, but not what came after the number. */
  keep(isThere: (agentId: string) => boolean, upTo: number): void;
  reaches(place: number): boolean;
  /** The sample with this number; `newest` where no other of its agent was told after it. */
  at(number: number): { sample: Headline; newest: boolean } | undefined;
}

const headlineOf = ({ sample: _, ...headline }: StoredSample): Headline => headline;

interface Entry {
  /** 0 where it was never told, negative where it is forgotten. */
  number: number;
  sample: Headline;
}

export function createBoard(capacity: number): Board {
  const entries = new Map<string, Entry>();
  const log = createLog<Entry>(capacity);

  function forget(agentId: string): void {
    const entry = entries.get(agentId);
    // The log still has it.
    if (entry !== undefined) entry.number = -1;
    entries.delete(agentId);
  }

  return {
    get head() {
      return log.head;
    },
    get: (agentId) => entries.get(agentId)?.sample,
    put(samples) {
      const changed = new Map<string, StoredSample>();
      for (const row of samples) {
        const { agentId } = row;
        const known = entries.get(agentId);
        const before = changed.get(agentId) ?? known?.sample;
        if (before !== undefined && !isNewer(row, before)) continue;
        const entry = known ?? { number: 0, sample: row };
        // Each has its number, also those in whose place it came.
        if (!row.waited) for (let n = row.superseded ?? 0; n >= 0; n--) entry.number = log.append(entry);
        if (known === undefined) entries.set(agentId, entry);
        changed.set(agentId, row);
      }
      for (const [agentId, row] of changed) {
        const entry = entries.get(agentId);
        if (entry !== undefined) entry.sample = headlineOf(row);
      }
    },
    seed(samples) {
      for (const row of samples)
        if (!entries.has(row.agentId)) entries.set(row.agentId, { number: 0, sample: headlineOf(row) });
    },
    forget,
    keep(isThere, upTo) {
      for (const [agentId, { number }] of entries) if (number <= upTo && !isThere(agentId)) forget(agentId);
    },
    reaches: log.reaches,
    at(number) {
      const entry = log.at(number);
      if (entry === undefined || entry.number < 0) return undefined;
      return { sample: entry.sample, newest: entry.number === number };
    },
  };
}

/** How far a reader is: in the samples, and in what became of agents. */
export interface Place {
  samples: number;
  agents: number;
}

interface SampleBatch {
  samples: Headline[];
  /** Agents that the reader sees no more. */
  gone: string[];
  /** Samples that were left out because a newer one of their agent is there. */
  skipped: number;
  place: Place;
}

type Agents<A> = Pick<Mirror<A>, 'get' | 'log'>;

/**
 * Reads what came after a place that both logs reach: of each agent that the reader sees the newest sample, also of
 * those that it did not see before.
 * @param most agents at once; the rest is read next
 */
export function readSamples<A>(
  board: Pick<Board, 'at' | 'get' | 'head'>,
  agents: Agents<A>,
  from: Place,
  most: number,
  sees: (agent: A) => boolean,
): SampleBatch {
  const batch: SampleBatch = { samples: [], gone: [], skipped: 0, place: { ...from } };
  const { place } = batch;
  const moved = new Set<string>();
  for (; place.agents < agents.log.head && moved.size < most; place.agents += 1) {
    const change = agents.log.at(place.agents + 1);
    if (change !== undefined && turned(change, sees)) moved.add(change.key);
  }
  const isSeen = (agentId: string): boolean => {
    const agent = agents.get(agentId);
    return agent !== undefined && sees(agent);
  };
  for (const agentId of moved) {
    const sample = board.get(agentId);
    if (!isSeen(agentId)) batch.gone.push(agentId);
    else if (sample !== undefined) batch.samples.push(sample);
  }
  for (; place.samples < board.head && batch.samples.length < most; place.samples += 1) {
    const found = board.at(place.samples + 1);
    if (found === undefined || !isSeen(found.sample.agentId)) continue;
    if (!found.newest) batch.skipped += 1;
    else if (!moved.has(found.sample.agentId)) batch.samples.push(found.sample);
  }
  return batch;
}

/** Whether a reader began or ceased to see it. */
export const turned = <A>({ before, after }: Change<A>, sees: (agent: A) => boolean): boolean =>
  (before !== undefined && sees(before)) !== (after !== undefined && sees(after));
