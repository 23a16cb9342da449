import { ViworksError } from '../../errors.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Database } from '../../storage/database.ts';
import { countWaitingByVerb } from '../../storage/executions.ts';

/**
 * Admission is the door of the queue: what would make it too long is refused whole, with a time to come back,
 * and nothing that is in is ever put out. It goes by an estimate that only grows, by what was let in since the
 * queue was last counted in the database; it is counted again only when the estimate reaches a limit.
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

/** Milliseconds between counts: under a flood, refusals cost the database nothing. */
const countAgainMs = 250;
const retryAfterMs = 1000;

interface Waiting {
  agentId: string;
  verb: string;
}

interface Tally {
  total: number;
  perAgent: Map<string, number>;
  perVerb: Map<string, number>;
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
    const fresh: Tally = { total: 0, perAgent: new Map(), perVerb: new Map() };
    for (const row of rows) add(fresh, row, row.count);
    for (const item of [...before, ...meanwhile]) add(fresh, item, 1);
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
    for (const execution of executions) add(known, execution, 1);
    if (counting !== undefined) meanwhile = meanwhile.concat(executions);
    pending.add(executions);
    return () => pending.delete(executions);
  }

  return {
    async admit(executions) {
      if (executions.length === 0) return () => {};
      if (tally === undefined) await countAgain();
      if (tally !== undefined && overflow(tally, executions, limits) !== undefined) {
        if (clock.monotonic() - countedAt >= countAgainMs) await countAgain();
      }
      if (tally === undefined)
        throw new ViworksError('database_unavailable', 'The queue cannot be counted now.');
      const full = overflow(tally, executions, limits);
      if (full !== undefined) {
        throw new ViworksError(
          'queue_full',
          `${full.field}: ${full.problem} Nothing of this request was stored.`,
          {
            retryAfterMs,
            fields: [full],
          },
        );
      }
      return letIn(tally, executions);
    },
  };
}

function add(tally: Tally, { agentId, verb }: Waiting, count: number): void {
  tally.total += count;
  tally.perAgent.set(agentId, (tally.perAgent.get(agentId) ?? 0) + count);
  tally.perVerb.set(verb, (tally.perVerb.get(verb) ?? 0) + count);
}

/** The limit that would be passed, or undefined. */
function overflow(
  tally: Tally,
  executions: readonly Waiting[],
  limits: QueueLimits,
): { field: string; problem: string } | undefined {
  if (tally.total + executions.length > limits.total) {
    const problem = `${tally.total} executions wait already, and ${limits.total} may.`;
    return { field: 'target', problem };
  }
  const verb = executions[0]?.verb ?? '';
  const ofVerb = limits.perVerb.get(verb);
  const waiting = tally.perVerb.get(verb) ?? 0;
  if (ofVerb !== undefined && waiting + executions.length > ofVerb) {
    return { field: 'verb', problem: `${waiting} executions of ${verb} wait already, and ${ofVerb} may.` };
  }
  for (const { agentId } of executions) {
    const count = tally.perAgent.get(agentId) ?? 0;
    if (count + 1 > limits.perAgent) {
      const problem = `${count} executions wait for ${agentId} already, and ${limits.perAgent} may.`;
      return { field: 'target', problem };
    }
  }
  return undefined;
}
