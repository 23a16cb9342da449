import { context, propagation } from '@opentelemetry/api';
import type { AuditTrail } from '../../audit/trail.ts';
import { ViworksError } from '../../errors.ts';
import type { Clock } from '../../lib/clock.ts';
import { newId } from '../../lib/ids.ts';
import type { Metrics } from '../../lib/metrics.ts';
import type { TargetRow } from '../../storage/agents.ts';
import { type BatchWriter, createBatchWriter } from '../../storage/batch-writer.ts';
import type { ExecutionBinding } from '../../storage/bound-rows.ts';
import {
  type CommandRow,
  findCommandByKey,
  insertCommands,
  type NewExecutionRow,
} from '../../storage/commands.ts';
import type { Database } from '../../storage/database.ts';
import type { TransitionRow } from '../../storage/execution-changes.ts';
import type { Approval } from '../approvals/decide.ts';
import type { Capacity } from '../dispatch/capacity.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import { type AgentLink, type AgentLinks, inFlightOf } from '../dispatch/links.ts';
import { deadlineOf } from '../executions/state.ts';
import type { RolloutLoop } from '../rollouts/loop.ts';
import type { Rollout, RolloutPlan } from '../rollouts/types.ts';
import { commandOf, transitionRow } from '../rows.ts';
import { checkShare } from '../targets/limits.ts';
import { resolveTarget } from '../targets/targets.ts';
import { type Command, type ExecutionState, priorities, type SubmitInput } from '../types.ts';
import type { Admission } from './admission.ts';
import { entryOf } from './entry.ts';
import { boundOf, firstAttempt, orderOf } from './first-attempt.ts';
import { gateOf, placementOf } from './placement.ts';
import { rankOf } from './queue.ts';
import { type CheckedSpec, checkSpec, type SpecDefaults } from './specs.ts';

/**
 * Submitting: check, resolve, write, hand over. An execution whose agent is connected here, has credit and
 * has nothing queued is inserted as sent and goes from memory to its session after the commit; any other is
 * queued for the dispatcher. Those of a rollout are held until it lets them go.
 */
export interface Submitter {
  submit(actor: string, input: SubmitInput): Promise<Command>;
  /** Resolves when nothing is under way. */
  idle(): Promise<void>;
}

export interface SubmitterDeps {
  database: Database;
  links: AgentLinks;
  capacity: Capacity;
  admission: Admission;
  binding: ExecutionBinding;
  dispatcher: Dispatcher;
  rollouts: Pick<RolloutLoop, 'track'>;
  clock: Clock;
  metrics: Metrics;
  audit: Pick<AuditTrail, 'take' | 'tell'>;
  settings: SpecDefaults & { maximumWaiting: number };
}

interface Planned {
  row: NewExecutionRow;
  /** Where it goes straight after the commit. */
  link: AgentLink | undefined;
}

export function createSubmitter(deps: SubmitterDeps): Submitter {
  const {
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
  } = deps;
  type Item = { command: CommandRow; executions: NewExecutionRow[] };
  const writer: BatchWriter<Item, boolean> = createBatchWriter({
    async write(items) {
      const stored = await insertCommands(
        database.query,
        items.map((item) => item.command),
        items.flatMap((item) => item.executions),
      );
      return items.map((item) => stored.has(item.command.commandId));
    },
    weight: (item) => item.executions.length,
    maximumBatch: 4000,
    maximumWaiting: settings.maximumWaiting,
    retryForMs: 0,
    onBatch: (weight) => metrics.batchRows.observe({ writer: 'commands' }, weight),
  });

  /** What is sent in the same millisecond has the same course so far, which is made once. */
  let sent: { at: number; transitions: TransitionRow[] } = { at: Number.NaN, transitions: [] };
  function sentAt(now: number): TransitionRow[] {
    if (sent.at !== now) {
      const handedOver = transitionRow('sent', 'handed to the agent’s session', now);
      sent = { at: now, transitions: [transitionRow('queued', 'submitted', now), handedOver] };
    }
    return sent.transitions;
  }

  /** Decides for each target where its execution begins; takes credit of the links that it goes to at once. */
  function plan(command: CommandRow, targets: readonly TargetRow[], now: number): Planned[] {
    const limits = { expiresAt: command.expiresAt.getTime(), timeoutMs: command.timeoutMs };
    const gate = gateOf({ approval: command.needsApproval, rollout: command.rollout !== null });
    const rank = rankOf(priorities[command.priority] ?? 'low', now);
    return targets.map((target, position) => {
      const link = links.get(target.agentId);
      const { state, hold, reason } = placementOf(target, link, command.verb, capacity, gate);
      const here = state === 'sent' ? link : undefined;
      const executionId = newId();
      here?.inFlight.set(executionId, inFlightOf(firstAttempt(command), now));
      const transitions = here
        ? sentAt(now)
        : [transitionRow(state === 'held' ? state : 'queued', reason ?? 'submitted', now)];
      return {
        link: here,
        row: {
          executionId,
          commandId: command.commandId,
          agentId: target.agentId,
          incarnation: target.incarnation,
          position,
          verb: command.verb,
          rank,
          state,
          hold,
          epoch: here?.epoch ?? null,
          expiresAt: command.expiresAt,
          deadlineAt: new Date(deadlineOf(state, now, limits) ?? limits.expiresAt),
          transitions,
          binding: binding.bind(boundOf(command, executionId, target)),
        },
      };
    });
  }

  function handOver(command: CommandRow, planned: readonly Planned[]): void {
    if (command.rollout !== null) return rollouts.track(command.commandId);
    if (command.needsApproval) return;
    for (const { row, link } of planned) {
      if (link === undefined) {
        dispatcher.wake(row.agentId);
        continue;
      }
      if (links.get(row.agentId) !== link) {
        dispatcher.returned({ ...row, epoch: link.epoch });
        continue;
      }
      link.deliver(orderOf(command, row, link.epoch));
    }
  }

  async function earlierAnswer(actor: string, checked: CheckedSpec): Promise<Command | undefined> {
    const { digest } = checked;
    const key = checked.spec.idempotencyKey;
    if (key === undefined || digest === undefined) return undefined;
    const row = await findCommandByKey(database.query, actor, key);
    if (row === undefined) return undefined;
    if (row.idempotencyDigest !== null && Buffer.compare(row.idempotencyDigest, digest) === 0) {
      audit.tell({ resourceKind: 'command', resourceId: row.commandId, details: () => ({ repeated: true }) });
      return commandOf(row);
    }
    const problem = 'was used for another command';
    throw new ViworksError('idempotency_conflict', `idempotencyKey: ${problem}`, {
      fields: [{ field: 'idempotencyKey', problem }],
    });
  }

  return {
    async submit(actor, input) {
      const started = clock.monotonic();
      const checked = checkSpec(input, settings);
      const earlier = await earlierAnswer(actor, checked);
      if (earlier !== undefined) return earlier;
      const need = { verb: checked.verb.name, capability: checked.verb.capability };
      const targetDeps = { query: database.query, links, capacity };
      const { target } = checked.spec;
      const { agents: targets, skipped } = await resolveTarget(targetDeps, target, need, input.within);
      if (input.within !== undefined) await checkShare(database.query, targets.length, input.within);

      const now = clock.now();
      const facts = commandRow(actor, checked, { skipped, retryOf: input.retryOf }, now);
      const entry = entryOf(audit, facts, checked);
      const command: CommandRow = { ...facts, audit: entry.row };
      const planned = plan(command, targets, now);
      let stored = false;
      let settled: (() => void) | undefined;
      try {
        const waiting = planned.filter((p) => p.link === undefined).map((p) => p.row);
        if (waiting.length > 0) settled = await admission.admit(waiting);
        stored = await writer.add({ command, executions: planned.map((p) => p.row) });
      } finally {
        settled?.();
        if (stored) entry.stored();
        else {
          entry.left();
          for (const { row, link } of planned) link?.inFlight.delete(row.executionId);
        }
      }
      if (!stored) {
        const other = await earlierAnswer(actor, checked);
        if (other !== undefined) return other;
        throw new ViworksError('unavailable', 'The command could not be stored; try again.');
      }
      handOver(command, planned);
      metrics.commandsSubmitted.inc({ verb: checked.verb.name });
      metrics.commandSubmitSeconds.observe((clock.monotonic() - started) / 1000);
      const counts: Partial<Record<ExecutionState, number>> = {};
      for (const { row } of planned) {
        const state = row.state as ExecutionState;
        counts[state] = (counts[state] ?? 0) + 1;
      }
      return {
        ...checked.spec,
        skipped,
        retryOf: input.retryOf,
        commandId: command.commandId,
        actor,
        createdAt: command.createdAt,
        expiresAt: command.expiresAt,
        counts,
        done: false,
        rollout: checked.rollout && newRollout(checked.rollout, planned.length, command.createdAt),
        approval: checked.needsApproval ? newApproval(actor, command.createdAt) : undefined,
      };
    },
    idle: () => writer.idle(),
  };
}

const newApproval = (requestedBy: string, requestedAt: Date): Approval => ({
  state: 'pending',
  requestedBy,
  requestedAt,
  decidedBy: undefined,
  decidedAt: undefined,
  reason: undefined,
});

function newRollout(plan: RolloutPlan, waiting: number, updatedAt: Date): Rollout {
  const counts = { succeeded: 0, failed: 0, undelivered: 0, inFlight: 0, waiting };
  return { plan, state: 'running', reason: undefined, released: 0, counts, updatedAt };
}

function commandRow(
  actor: string,
  { spec, rollout, needsApproval, argsBytes, digest }: CheckedSpec,
  { skipped, retryOf }: { skipped: number; retryOf: string | undefined },
  now: number,
): Omit<CommandRow, 'audit'> {
  const carrier: { traceparent?: string } = {};
  propagation.inject(context.active(), carrier);
  return {
    commandId: newId(),
    actor,
    verb: spec.verb,
    args: JSON.stringify(spec.args),
    argsBytes,
    target: JSON.stringify(spec.target),
    priority: priorities.indexOf(spec.priority),
    timeoutMs: spec.timeoutMs,
    timeToLiveMs: spec.timeToLiveMs,
    maxRetries: spec.maxRetries,
    skipped,
    retryOf: retryOf ?? null,
    origin: spec.origin ?? null,
    idempotencyKey: spec.idempotencyKey ?? null,
    idempotencyDigest: digest ?? null,
    correlationId: spec.correlationId ?? null,
    traceparent: carrier.traceparent ?? null,
    createdAt: new Date(now),
    expiresAt: new Date(now + spec.timeToLiveMs),
    rollout: rollout === undefined ? null : JSON.stringify(rollout),
    needsApproval,
  };
}
