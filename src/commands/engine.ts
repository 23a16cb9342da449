import type { AuditTrail } from '../audit/trail.ts';
import type { Bus } from '../bus/bus.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import type { ExecutionBinding } from '../storage/bound-rows.ts';
import { isCommandInScope, isExecutionInScope } from '../storage/commands.ts';
import type { Database } from '../storage/database.ts';
import { createApprovals } from './approvals/approvals.ts';
import { type CapacityLimits, createCapacity } from './dispatch/capacity.ts';
import { createDispatcher, type Dispatcher } from './dispatch/dispatcher.ts';
import { type AgentLinks, createAgentLinks } from './dispatch/links.ts';
import { letGo, setHeld } from './dispatch/maintenance.ts';
import { cancelCommand } from './executions/cancel.ts';
import { createChangeWriter } from './executions/changes.ts';
import { createProgress, type Progress } from './executions/progress.ts';
import { createReconciler, type Reconciler } from './executions/reconcile.ts';
import { createSweeper, type Sweeper } from './executions/sweeper.ts';
import { createHistory } from './history/history.ts';
import { createRetention, type Retention } from './history/retention.ts';
import { createOutputIntake, readOutput } from './output/output.ts';
import { createRollouts } from './rollouts/rollouts.ts';
import { createRolloutService, type RolloutService } from './rollouts/service.ts';
import type { CommandService } from './service.ts';
import { createAdmission, type QueueLimits } from './submission/admission.ts';
import { retryInput } from './submission/again.ts';
import { planCommand } from './submission/plan.ts';
import type { SpecDefaults } from './submission/specs.ts';
import { createSubmitter } from './submission/submit.ts';
import type { Command } from './types.ts';
import { watchCommand } from './watch.ts';

/**
 * The engine owns commands from submit to their last state. It puts together the parts of this folder and does
 * nothing by itself. Sessions reach it through their links, the API through CommandService and RolloutService.
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
  audit: Pick<AuditTrail, 'take' | 'tell' | 'append'>;
  binding: ExecutionBinding;
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
  const { database, bus, clock, log, metrics, audit, binding, settings } = deps;
  const { verbs } = settings;
  const capacity = createCapacity(settings.inFlight);
  const links = createAgentLinks(capacity, () => dispatcher.nudge());
  const admission = createAdmission({ database, clock }, settings.queue);
  const writer = createChangeWriter({ database, bus, metrics, binding });
  const dispatcher = createDispatcher({
    database,
    writer,
    links,
    capacity,
    binding,
    bus,
    clock,
    metrics,
    log,
  });
  const rollouts = createRollouts({ database, dispatcher, bus, metrics, clock, log, audit });
  const submitter = createSubmitter({
    database,
    links,
    capacity,
    admission,
    binding,
    dispatcher,
    rollouts,
    clock,
    metrics,
    audit,
    settings,
  });
  const output = createOutputIntake({ database, bus, metrics });
  const progress = createProgress({ database, writer, output, dispatcher, metrics, clock, log, verbs });
  const reconciler = createReconciler({ database, writer, clock, verbs });
  const intervalMs = settings.sweepIntervalMs;
  const history = createHistory(database);
  const { commandAt } = history;
  const approvals = createApprovals({ database, dispatcher, binding, bus, clock });
  const retention = createRetention({ database, clock, log, metrics, audit, keepMs: settings.keepMs ?? 0 });
  const shared = { database, dispatcher, links, bus, clock };
  const sweeper = createSweeper({
    database,
    writer,
    dispatcher,
    links,
    endMaintenance: (agentId) => letGo(shared, agentId),
    clock,
    log,
    intervalMs,
    verbs,
  });

  async function cancel(actor: string, commandId: string, reason: string): Promise<Command> {
    await commandAt(commandId);
    await cancelCommand(shared, actor, commandId, reason);
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
      const input = await retryInput({ query: database.query, verbs, binding }, command, options);
      return submitter.submit(actor, { ...input, within: options.within });
    },
    cancel,
    ...createRolloutService({ rollouts, history, cancel }),

    mayWatch: (scope, commandId) => isCommandInScope(database.query, commandId, scope),
    mayRead: (scope, executionId) => isExecutionInScope(database.query, executionId, scope),

    output: (executionId, stream, offset, limit) =>
      readOutput({ database }, executionId, stream, offset, limit),

    watch: (commandId, cursor, signal) => watchCommand({ database, bus }, commandId, cursor, signal),

    setHeld: (agentId, held, reason) => setHeld(shared, agentId, held, reason),

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
