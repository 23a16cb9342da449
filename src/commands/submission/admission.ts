import { ViworksError } from '../../errors.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Database } from '../../storage/database.ts';
import { countWaitingByVerb } from '../../storage/executions.ts';

/**
 * Admission is the door of the queue: what would make it too long is refused whole, with a time to come back,
 * and nothing that is in is ever put out. It goes by an estimate that only grows, by what was let in since the
 * queue was last counted in the database; it is counted again only when the estimate reaches a limit, and then
 * before anyone is refused whom the count may let in.
 */
export interface Admission {
  /**
   * Lets all of them in or none. Answers with what is to be called when they are stored, or will not be.
   * @throws queue_full
   */
  admit(executions: readonly Waiting[]): Promise<() => void>;
}

export interface QueueLimits {
  /** Executions that may wait for one agent. */
  perAgent: number;
  /** Executions that may wait in all. */
  total: number;
  /** Executions of one verb that may wait; verbs that are not here have no limit of their own. */
  perVerb: ReadonlyMap<string, number>;
}

/**
 * Milliseconds for which a count that left no room is believed: under a flood, refusals cost the database nothing.
 * One that left more than this share of the limit is not: what was let in since then may be gone again.
 */
const countAgainMs = 250;
const doubtfulShare = 0.1;
const retryAfterMs = 1000;

interface Waiting {
  agentId: string;
  verb: string;
}

interface Level {
  /** As counted, and let in since. */
  waiting: number;
  letIn: number;
}

interface Tally {
  total: Level;
  perAgent: Map<string, Level>;
  perVerb: Map<string, Level>;
}

/** A limit that would be passed. */
interface Full {
  field: string;
  problem: string;
  level: Level;
  limit: number;
}

export function createAdmission(
  { database, clock }: { database: Database; clock: Clock },
  limits: QueueLimits,
): Admission {
  // Nothing is known before the first count, which the first one to be queued waits for.
  let tally: Tally | undefined;
  let countedAt = 0;
  let counting: Promise<void> | undefined;
  /** Let in, and perhaps not stored yet: a count may not have seen them. */
  const pending = new Set<readonly Waiting[]>();
  /** Let in since the count under way began. */
  let meanwhile: Waiting[] = [];

  async function count(): Promise<void> {
    const before = [...pending].flat();
    const rows = await countWaitingByVerb(database.query);
    const fresh: Tally = { total: { waiting: 0, letIn: 0 }, perAgent: new Map(), perVerb: new Map() };
    for (const row of rows) {
      for (const level of levelsOf(fresh, row)) level.waiting += row.count;
    }
    for (const item of [...before, ...meanwhile]) letInOne(fresh, item);
    tally = fresh;
    countedAt = clock.monotonic();
  }

  function countAgain(): Promise<void> {
    counting ??= count().finally(() => {
      counting = undefined;
      meanwhile = [];
    });
    return counting;
  }

  function letIn(known: Tally, executions: readonly Waiting[]): () => void {
    for (const execution of executions) letInOne(known, execution);
    if (counting !== undefined) meanwhile = meanwhile.concat(executions);
    pending.add(executions);
    return () => pending.delete(executions);
  }

  const worthCounting = ({ level, limit }: Full) =>
    level.letIn > limit * doubtfulShare || clock.monotonic() - countedAt >= countAgainMs;

  return {
    async admit(executions) {
      if (executions.length === 0) return () => {};
      if (tally === undefined) await countAgain();
      let full = tally && overflow(tally, executions, limits);
      // The first count may have been under way already, and have missed what left since it began.
      for (let counts = 0; full !== undefined && counts < 2 && worthCounting(full); counts++) {
        await countAgain();
        full = tally && overflow(tally, executions, limits);
      }
      if (tally === undefined)
        throw new ViworksError('database_unavailable', 'The queue cannot be counted now.');
      if (full !== undefined) {
        const { field, problem } = full;
        const message = `${field}: ${problem} Nothing of this request was stored.`;
        throw new ViworksError('queue_full', message, { retryAfterMs, fields: [{ field, problem }] });
      }
      return letIn(tally, executions);
    },
  };
}

function levelsOf(tally: Tally, { agentId, verb }: Waiting): Level[] {
  return [tally.total, levelIn(tally.perAgent, agentId), levelIn(tally.perVerb, verb)];
}

function levelIn(levels: Map<string, Level>, key: string): Level {
  let level = levels.get(key);
  if (level === undefined) {
    level = { waiting: 0, letIn: 0 };
    levels.set(key, level);
  }
  return level;
}

function letInOne(tally: Tally, item: Waiting): void {
  for (const level of levelsOf(tally, item)) {
    level.waiting += 1;
    level.letIn += 1;
  }
}

/** The limit that would be passed, or undefined. */
function overflow(tally: Tally, executions: readonly Waiting[], limits: QueueLimits): Full | undefined {
  const { total } = tally;
  if (total.waiting + executions.length > limits.total) {
    const problem = `${total.waiting} executions wait already, and ${limits.total} may.`;
    return { field: 'target', problem, level: total, limit: limits.total };
  }
  const verb = executions[0]?.verb ?? '';
  const limit = limits.perVerb.get(verb);
  const level = levelIn(tally.perVerb, verb);
  if (limit !== undefined && level.waiting + executions.length > limit) {
    const problem = `${level.waiting} executions of ${verb} wait already, and ${limit} may.`;
    return { field: 'verb', problem, level, limit };
  }
  for (const { agentId } of executions) {
    const ofAgent = tally.perAgent.get(agentId);
    if (ofAgent !== undefined && ofAgent.waiting + 1 > limits.perAgent) {
      const problem = `${ofAgent.waiting} executions wait for ${agentId} already, and ${limits.perAgent} may.`;
      return { field: 'target', problem, level: ofAgent, limit: limits.perAgent };
    }
  }
  return undefined;
}
