import type { Bus } from '../bus/bus.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { storableText } from '../lib/text.ts';
import type { Database } from '../storage/database.ts';
import { cancelExecutions, moveWaitingExecutions } from '../storage/executions.ts';
import { createAdmission, type QueueLimits } from './admission.ts';
import { retryInput } from './again.ts';
import { createApprovals } from './approvals.ts';
import { type CapacityLimits, createCapacity } from './capacity.ts';
import { createChangeWriter } from './changes.ts';
import { createDispatcher, type Dispatcher } from './dispatcher.ts';
import { createHistory } from './history.ts';
import { type AgentLinks, createAgentLinks } from './links.ts';
import { createOutputIntake, readOutput } from './output.ts';
import { planCommand } from './plan.ts';
import { createProgress, type Progress } from './progress.ts';
import { createReconciler, type Reconciler } from './reconcile.ts';
import { createRetention, type Retention } from './retention.ts';
import type { RolloutService } from './rollout-service.ts';
import { createRollouts, rolloutUnknown } from './rollouts.ts';
import { transitionRow } from './rows.ts';
import type { SpecDefaults } from './specs.ts';
import { createSubmitter } from './submit.ts';
import { createSweeper, type Sweeper } from './sweeper.ts';
import type { Command, CommandService } from './types.ts';
import { watchCommand } from './watch.ts';

/**
 * The engine owns commands from submit to their last state. It puts together the parts of this folder:
 * submitting, dispatching, what agents say, reconciliation, deadlines, watching. Sessions reach it through
 * their links, the API through CommandService.
 */
export interface CommandEngine extends CommandService, RolloutService, Reconciler, Progress {
  readonly links: AgentLinks;
  readonly dispatcher: Pick<Dispatcher, 'wake' | 'creditReturned'>;
  readonly sweeper: Pick<Sweeper, 'sweep'>;
  readonly retention: Pick<Retention, 'clean'>;
  /** Holds the queue of an agent, or lets it go. */
  setHeld(agentId: string, held: boolean, reason: string): Promise<void>;
  start(): void;
  /** Hands over nothing more; resolves when everything that was accepted is written. */
  stop(): Promise<void>;
}

export interface EngineDeps {
  database: Database;
  bus: Bus;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  settings: SpecDefaults & {
    /** Executions that may wait to be written. */
    maximumWaiting: number;
    /** How much may be with agents at once, and how much may wait for them. */
    inFlight: CapacityLimits;
    queue: QueueLimits;
    /** Milliseconds between looks for passed deadlines. */
    sweepIntervalMs: number;
    /** Milliseconds that a finished command is kept after it was submitted; 0 or nothing keeps it for ever. */
    keepMs?: number | undefined;
  };
}

export function createCommandEngine(deps: EngineDeps): CommandEngine {
  const { database, bus, clock, log, metrics, settings } = deps;
  const { verbs } = settings;
  const capacity = createCapacity(settings.inFlight);
  const links = createAgentLinks(capacity, () => dispatcher.nudge());
  const admission = createAdmission({ database, clock }, settings.queue);
  const writer = createChangeWriter({ database, bus, metrics });
  const dispatcher = createDispatcher({ database, writer, links, capacity, bus, clock, log });
  const rollouts = createRollouts({ database, dispatcher, bus, metrics, clock, log });
  const submitter = createSubmitter({
    database,
    links,
    capacity,
    admission,
    dispatcher,
    rollouts,
    clock,
    metrics,
    settings,
  });
  const output = createOutputIntake({ database, bus, metrics });
  const progress = createProgress({ database, writer, output, dispatcher, metrics, clock, log, verbs });
  const reconciler = createReconciler({ database, writer, clock, verbs });
  const intervalMs = settings.sweepIntervalMs;
  const history = createHistory(database);
  const { commandAt } = history;
  const approvals = createApprovals({ database, dispatcher, bus, clock });
  const retention = createRetention({ database, clock, log, metrics, keepMs: settings.keepMs ?? 0 });
  const sweeper = createSweeper({
    database,
    writer,
    dispatcher,
    links,
    endMaintenance,
    clock,
    log,
    intervalMs,
    verbs,
  });

  async function moveWaiting(agentId: string, from: 'queued' | 'held', cause: string): Promise<void> {
    const transition = transitionRow(from === 'queued' ? 'held' : 'queued', cause, clock.now());
    const changed = await moveWaitingExecutions(database.query, agentId, from, transition);
    for (const commandId of changed) bus.publish('command.changed', commandId);
  }

  async function endMaintenance(agentId: string): Promise<void> {
    await moveWaiting(agentId, 'held', 'the agent is back from maintenance');
    dispatcher.wake(agentId);
  }

  async function rolloutAt(commandId: string): Promise<Command> {
    const command = await commandAt(commandId);
    if (command.rollout === undefined) throw rolloutUnknown(commandId);
    return command;
  }

  async function cancel(actor: string, commandId: string, reason: string): Promise<Command> {
    await commandAt(commandId);
    const cause = storableText(`cancelled by ${actor}${reason === '' ? '' : `: ${reason}`}`);
    const transition = transitionRow('cancelled', cause, clock.now());
    const handOverAgain = dispatcher.withhold(commandId);
    const open = await cancelExecutions(database, commandId, cause, transition).finally(handOverAgain);
    bus.publish('command.changed', commandId);
    for (const { agentId, executionId, attempt, epoch } of open) {
      const link = links.get(agentId);
      if (link?.epoch !== epoch) continue;
      const entry = link.inFlight.get(executionId);
      if (entry !== undefined) entry.cancelled = true;
      link.cancel(executionId, attempt, cause);
    }
    return commandAt(commandId);
  }

  return {
    links,
    dispatcher,
    sweeper,
    retention,
    submit: submitter.submit,
    plan: (input) => planCommand({ database, links, capacity, settings }, input),
    update: progress.update,
    result: progress.result,
    reconcile: reconciler.reconcile,

    get: history.get,
    list: history.list,
    statistics: history.statistics,
    async decide(actor, commandId, verdict, reason) {
      await commandAt(commandId);
      await approvals.decide(actor, commandId, verdict, reason);
      return commandAt(commandId);
    },
    async retry(actor, commandId, options) {
      const command = await commandAt(commandId);
      return submitter.submit(actor, await retryInput({ query: database.query, verbs }, command, options));
    },
    cancel,
    getRollout: rolloutAt,
    listRollouts: history.listRollouts,
    async pauseRollout(actor, commandId, reason) {
      await rolloutAt(commandId);
      await rollouts.pause(actor, commandId, reason);
      return rolloutAt(commandId);
    },
    async resumeRollout(actor, commandId, { force }) {
      await rolloutAt(commandId);
      await rollouts.resume(actor, commandId, force);
      return rolloutAt(commandId);
    },
    async abortRollout(actor, commandId, reason, { stopRunning }) {
      await rolloutAt(commandId);
      await rollouts.abort(actor, commandId, reason);
      return stopRunning ? cancel(actor, commandId, reason) : rolloutAt(commandId);
    },

    output: (executionId, stream, offset, limit) =>
      readOutput({ database }, executionId, stream, offset, limit),

    watch: (commandId, cursor, signal) => watchCommand({ database, bus }, commandId, cursor, signal),

    async setHeld(agentId, held, reason) {
      const link = links.get(agentId);
      if (link !== undefined) link.paused = held;
      if (held) await moveWaiting(agentId, 'queued', `the agent is in maintenance: ${reason}`);
      else await endMaintenance(agentId);
    },

    start() {
      sweeper.start();
      rollouts.start();
      retention.start();
    },
    async stop() {
      await retention.stop();
      await rollouts.stop();
      await sweeper.stop();
      await dispatcher.stop();
      await submitter.idle();
      await output.idle();
      await writer.idle();
    },
  };
}
