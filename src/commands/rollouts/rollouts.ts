import type { AuditTrail } from '../../audit/trail.ts';
import type { Bus } from '../../bus/bus.ts';
import { ViworksError } from '../../errors.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Metrics } from '../../lib/metrics.ts';
import type { Database } from '../../storage/database.ts';
import {
  cancelUnsent,
  lockRollout,
  type RolloutRow,
  readRolloutProgress,
  releaseExecutions,
  saveRollout,
  takeBackExecutions,
} from '../../storage/rollouts.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import { causeBy, transitionRow } from '../rows.ts';
import { decideRollout, type Forgiven, planOf, type RolloutProgress } from './decide.ts';
import { createRolloutLoop, type RolloutLoop } from './loop.ts';
import type { RolloutInput, RolloutState } from './types.ts';

/**
 * Rollouts, carried out. Whatever lets executions go, or takes them back, holds the row of the rollout for the
 * length of its transaction. Nothing else makes an execution of a rollout queued (storage/execution-changes.ts
 * gives back what would be), and only what is queued is taken by the dispatcher. So when the transaction of a
 * stop, a pause or an abort has committed, no execution of that command is marked as sent any more.
 *
 * What was marked before, and is on its way through the memory of this process, is withheld by the dispatcher
 * and given back: once the operation has returned, nothing more goes to a session. What a session already has
 * counts as handed over, and may reach its agent afterwards.
 */
export interface Rollouts extends Pick<RolloutLoop, 'track' | 'start' | 'stop'> {
  pause(actor: string, commandId: string, reason: string): Promise<void>;
  resume(actor: string, commandId: string, force: boolean): Promise<void>;
  /** What agents have goes on. */
  abort(actor: string, commandId: string, reason: string): Promise<void>;
}

export interface RolloutsDeps {
  database: Database;
  dispatcher: Pick<Dispatcher, 'wake' | 'withhold'>;
  bus: Bus;
  metrics: Pick<Metrics, 'rolloutsTurned'>;
  clock: Clock;
  log: Logger;
  audit: Pick<AuditTrail, 'append'>;
}

type Query = Database['query'];

/** A rollout under its lock. */
type Locked = Omit<RolloutRow, 'plan' | 'state'> & {
  plan: RolloutInput & { forgiven?: Forgiven };
  state: RolloutState;
};

/** What follows from a transaction, once it has committed. */
interface Outcome {
  /** Whether anything of the command changed. */
  changed: boolean;
  /** There is more to come of it. */
  open: boolean;
  /** Agents that have something queued now, and milliseconds until they are to be offered it. */
  wakes: { agentId: string; inMs: number }[];
  /** The state that it was brought into, and why. */
  turned: Pick<Locked, 'state' | 'reason'> | undefined;
  /** Ends the withholding. */
  handOverAgain: (() => void) | undefined;
}

/** Decisions that one transaction carries out; what is left waits for the next look. */
const stepsAtOnce = 100;
/** Milliseconds until an agent is offered again what came back from it; twice as many after each refusal. */
const offerAgainMs = 1000;
const longestOfferAgainMs = 60_000;

export function createRollouts(deps: RolloutsDeps): Rollouts {
  const { database, dispatcher, bus, metrics, clock, log, audit } = deps;
  const loop = createRolloutLoop({ database, bus, log, look });

  async function look(commandId: string): Promise<boolean> {
    const { open } = await underLock(commandId, async (query, row, outcome) => {
      if (row.state === 'running' || row.state === 'paused') {
        await advance(query, row, outcome, false);
        if (outcome.turned !== undefined) await auditTurn(query, commandId, outcome.turned);
        return;
      }
      await settle(query, row, outcome);
    });
    return open;
  }

  /** What a rollout does by itself, as opposed to what somebody asks for. */
  const auditTurn = (query: Query, commandId: string, turned: Pick<Locked, 'state' | 'reason'>) =>
    audit.append(query, {
      actor: 'system:rollouts',
      action: `rollouts.${turned.state}`,
      resourceKind: 'command',
      resourceId: commandId,
      outcome: 'done',
      details: () => ({ reason: turned.reason }),
    });

  /** Runs work with the rollout locked, and tells everybody what came of it after the commit. */
  async function underLock(
    commandId: string,
    work: (query: Query, row: Locked, outcome: Outcome) => Promise<void>,
  ): Promise<Outcome> {
    const outcome: Outcome = {
      changed: false,
      open: false,
      wakes: [],
      turned: undefined,
      handOverAgain: undefined,
    };
    try {
      await database.transaction(async (query) => {
        const row = await lockRollout(query, commandId);
        if (row === undefined) throw rolloutUnknown(commandId);
        await work(query, row as Locked, outcome);
      });
    } finally {
      outcome.handOverAgain?.();
    }
    for (const { agentId, inMs } of outcome.wakes) {
      if (inMs > 0) setTimeout(dispatcher.wake, inMs, agentId).unref();
      else dispatcher.wake(agentId);
    }
    if (outcome.turned !== undefined) {
      metrics.rolloutsTurned.inc({ state: outcome.turned.state });
      log.info({ commandId, ...outcome.turned }, 'a rollout turned');
    }
    if (outcome.changed) bus.publish('command.changed', commandId);
    return outcome;
  }

  /** Carries out what is decided of a rollout that is running or paused, until there is nothing more to do. */
  async function advance(query: Query, row: Locked, outcome: Outcome, isResumed: boolean): Promise<void> {
    let resumed = isResumed;
    for (let step = 0; step < stepsAtOnce; step++) {
      const progress = await progressOf(query, row);
      outcome.open = progress.inFlight > 0 || progress.waiting > 0;
      const memory = { forgiven: row.plan.forgiven, resumed };
      const decision = decideRollout(planOf(row.plan), progress, memory);
      switch (decision.do) {
        case 'wait':
          return;
        case 'release':
          if (row.state === 'paused') return settle(query, row, outcome);
          await release(query, row, decision.upTo, outcome, isResumed);
          resumed = false;
          break;
        case 'pause':
          if (row.state === 'paused') return settle(query, row, outcome);
          return turn(query, row, 'paused', decision.reason, outcome);
        case 'stop':
          return turn(query, row, 'stopped', decision.reason, outcome);
        case 'abort':
          return turn(query, row, 'aborted', decision.reason, outcome);
        case 'complete':
          return turn(query, row, 'completed', null, outcome);
      }
    }
    // Everybody may look at what there is so far; this rollout goes on with the next look.
    outcome.changed = true;
  }

  const progressOf = async (query: Query, { commandId, released, plan }: Locked) => {
    const row = await readRolloutProgress(query, commandId, released, planOf(plan).canary);
    return { ...row, released } satisfies RolloutProgress;
  };

  async function release(
    query: Query,
    row: Locked,
    upTo: number,
    outcome: Outcome,
    atOnce: boolean,
  ): Promise<void> {
    const now = clock.now();
    const expiresAt = new Date(now + planOf(row.plan).deliveryTimeoutMs);
    const transition = transitionRow('queued', 'its turn in the rollout', now);
    const rows = await releaseExecutions(query, row.commandId, upTo, expiresAt, transition);
    for (const { agentId, position, state, attempt } of rows) {
      // What came back from an agent, it is not offered again in the same moment.
      const again = position < row.released && !atOnce;
      const inMs = again ? Math.min(offerAgainMs * 2 ** (attempt - 1), longestOfferAgainMs) : 0;
      if (state === 'queued') outcome.wakes.push({ agentId, inMs });
    }
    row.released = Math.max(row.released, upTo);
    outcome.changed = true;
    await saveRollout(query, row, new Date(now));
  }

  /** Brings a rollout into another state, and its executions with it. */
  async function turn(
    query: Query,
    row: Locked,
    state: RolloutState,
    reason: string | null,
    outcome: Outcome,
  ): Promise<void> {
    Object.assign(row, { state, reason });
    outcome.changed = true;
    outcome.turned = { state, reason };
    await settle(query, row, outcome);
    await saveRollout(query, row, new Date(clock.now()));
  }

  /** What is with no agent goes where the state of the rollout has it. */
  async function settle(query: Query, row: Locked, outcome: Outcome): Promise<void> {
    if (row.state !== 'completed') outcome.handOverAgain ??= dispatcher.withhold(row.commandId);
    const cause = `the rollout is ${row.state}${row.reason === null ? '' : `: ${row.reason}`}`;
    const now = clock.now();
    let count = 0;
    if (row.state === 'paused') {
      count = await takeBackExecutions(query, row.commandId, transitionRow('held', cause, now));
    } else if (row.state === 'stopped' || row.state === 'aborted') {
      // A stop leaves what was not let go, for somebody who resumes it.
      const before = row.state === 'stopped' ? row.released : undefined;
      count = await cancelUnsent(query, row.commandId, before, transitionRow('cancelled', cause, now));
    }
    if (count > 0) outcome.changed = true;
    const { inFlight, waiting } = await progressOf(query, row);
    outcome.open = inFlight > 0 || waiting > 0;
  }

  return {
    ...loop,

    async pause(actor, commandId, reason) {
      await underLock(commandId, async (query, row, outcome) => {
        if (row.state === 'paused') return;
        if (row.state !== 'running') throw wrongState(row, 'only a running one can be paused');
        await turn(query, row, 'paused', causeBy('paused', actor, reason), outcome);
      });
    },

    async resume(actor, commandId, force) {
      await underLock(commandId, async (query, row, outcome) => {
        if (row.state === 'running') return;
        const stopped = row.state === 'stopped';
        if (!stopped && row.state !== 'paused') throw wrongState(row, 'it cannot be resumed any more');
        if (stopped && !force) throw wrongState(row, 'resume it with force if it shall go on all the same');
        const { succeeded, failed, undelivered, canaryFailed, waiting } = await progressOf(query, row);
        if (stopped && waiting === 0) throw wrongState(row, 'nothing is left that it could let go');
        if (force) row.plan.forgiven = { succeeded, failed, undelivered, canaryFailed };
        Object.assign(row, {
          state: 'running',
          reason: causeBy(force ? 'resumed by force' : 'resumed', actor, ''),
        });
        await saveRollout(query, row, new Date(clock.now()));
        outcome.changed = true;
        await advance(query, row, outcome, true);
      });
      loop.track(commandId);
    },

    async abort(actor, commandId, reason) {
      await underLock(commandId, async (query, row, outcome) => {
        if (row.state === 'aborted') return;
        if (row.state === 'completed') throw wrongState(row, 'it cannot be aborted any more');
        await turn(query, row, 'aborted', causeBy('aborted', actor, reason), outcome);
      });
    },
  };
}

export const rolloutUnknown = (commandId: string) =>
  new ViworksError('rollout_unknown', `The command ${commandId} is no rollout.`);

const wrongState = ({ state, reason }: Locked, consequence: string) =>
  new ViworksError(
    'rollout_state',
    `The rollout is ${state}${reason === null ? '' : ` (${reason})`}; ${consequence}.`,
  );
