import { type InFlight, inFlightOf } from '../../src/commands/dispatch/links.ts';
import { mergeChanges } from '../../src/commands/executions/changes.ts';
import { reconcileRow } from '../../src/commands/executions/reconcile.ts';
import { decideResult, resultChanges } from '../../src/commands/executions/result.ts';
import {
  type Account,
  acknowledgeMs,
  allowedFrom,
  resultGraceMs,
} from '../../src/commands/executions/state.ts';
import { overdueChange } from '../../src/commands/executions/sweeper.ts';
import { transitionRow } from '../../src/commands/rows.ts';
import { builtInCatalogue } from '../../src/protocol/verbs.ts';
import type { ExecutionChange } from '../../src/storage/execution-changes.ts';
import type { ToAgent, ToServer } from './agent.ts';
import { apply, type Row } from './storage.ts';

const { effectOf } = builtInCatalogue;

/**
 * The control plane as the model sees it: rows that survive everything, and a memory of one link and of
 * changes that wait for their commit, which a crash empties. Every decision is the real one.
 */
export interface ModelServer {
  readonly rows: ReadonlyMap<string, Row>;
  readonly connected: boolean;
  submit(spec: { verb: string; maxRetries: number; timeToLiveMs: number }, now: number): void;
  cancel(executionId: string): ToAgent[];
  /** A session opens; the one before, if the server still has it, is over. */
  open(account: ReadonlyMap<string, Account>, now: number): ToAgent[];
  closed(): void;
  /** @param dies the process ends after the commit, before anything is handed over */
  take(now: number, dies: boolean): ToAgent[];
  receive(message: ToServer, now: number, random: number): void;
  /** Writes what waits; answers with the acknowledgements that follow. */
  commit(): ToAgent[];
  sweep(now: number, random: number): void;
  crash(): void;
}

interface Pending {
  change: ExecutionChange;
  /** Written in its place where it was not applied. */
  otherwise?: ExecutionChange;
  done(applied: boolean): ToAgent[];
}

const credit = 2;
const agentId = 'a';
const timeoutMs = 5000;

export function createModelServer(): ModelServer {
  const rows = new Map<string, Row>();
  let epochs = 0;
  let link: { epoch: number; inFlight: Map<string, InFlight> } | undefined;
  let pending: Pending[] = [];

  function commandTo(row: Row, epoch: number, now: number): ToAgent {
    link?.inFlight.set(row.executionId, inFlightOf(row, now));
    const { executionId, attempt } = row;
    return { kind: 'command', executionId, attempt, expiresAt: row.expiresAt.getTime(), epoch };
  }

  /** As the reconciler: decides by the rows as they are, and writes behind what waits already. */
  function look(
    session: NonNullable<typeof link>,
    account: ReadonlyMap<string, Account>,
    now: number,
    cancels: ToAgent[],
  ): boolean {
    const answers = [...rows.values()].flatMap((row) => {
      const line = account.get(row.executionId);
      const open = ['sent', 'accepted', 'running'].includes(row.state);
      const waiting = row.state === 'queued' || row.state === 'held';
      const asked = open || (waiting && row.epoch !== null);
      if (!asked && (line === undefined || !(waiting || row.state === 'outcome_unknown'))) return [];
      const answer = reconcileRow(row, line, session.epoch, now, effectOf(row.verb));
      if (answer === undefined || (answer.stays && row.epoch === session.epoch)) return [];
      return [{ row, line, ...answer }];
    });
    const all = [...pending.map((p) => p.change), ...answers.map((answer) => answer.change)];
    pending = [];
    const rounds = mergeChanges(all);
    const applied = rounds.map((round) => apply(rows, round.changes));
    let whole = true;
    for (const { row, line, change, stays } of answers) {
      const round = rounds.findIndex(({ parts }) => parts.includes(change));
      if (!applied[round]?.has(row.executionId)) whole = false;
      else if (stays) {
        session.inFlight.set(row.executionId, inFlightOf(row, now, row.cancelReason !== null));
        if (row.cancelReason !== null && line?.phase === 'running') {
          cancels.push({ kind: 'cancel', executionId: row.executionId, attempt: row.attempt });
        }
      }
    }
    return whole;
  }

  return {
    rows,
    get connected() {
      return link !== undefined;
    },
    submit({ verb, maxRetries, timeToLiveMs }, now) {
      const executionId = `e${String(rows.size).padStart(3, '0')}`;
      const expiresAt = new Date(now + timeToLiveMs);
      rows.set(executionId, {
        executionId,
        commandId: executionId,
        agentId,
        state: 'queued',
        hold: null,
        epoch: null,
        attempt: 1,
        retries: 0,
        maxRetries,
        verb,
        timeoutMs,
        expiresAt,
        cancelReason: null,
        revision: 1,
        deadlineAt: expiresAt,
        history: [{ state: 'queued', cause: 'submitted' }],
      });
    },
    cancel(executionId) {
      const row = rows.get(executionId);
      if (row === undefined || row.deadlineAt === null || row.cancelReason !== null) return [];
      if ((row.state === 'queued' || row.state === 'held') && row.epoch === null) {
        const history = [...row.history, { state: 'cancelled', cause: 'called off' }];
        const revision = row.revision + 1;
        rows.set(executionId, {
          ...row,
          state: 'cancelled',
          hold: null,
          deadlineAt: null,
          revision,
          history,
        });
        return [];
      }
      rows.set(executionId, { ...row, cancelReason: 'called off' });
      if (link?.epoch !== row.epoch) return [];
      const entry = link?.inFlight.get(executionId);
      if (entry !== undefined) entry.cancelled = true;
      return [{ kind: 'cancel', executionId, attempt: row.attempt }];
    },
    open(account, now) {
      link = { epoch: ++epochs, inFlight: new Map() };
      const cancels: ToAgent[] = [];
      for (let looks = 0; looks < 5; looks++) if (look(link, account, now, cancels)) break;
      return cancels;
    },
    closed() {
      link = undefined;
    },
    take(now, dies) {
      if (link === undefined) return [];
      const { epoch, inFlight } = link;
      const due = [...rows.values()].filter(
        (row) => row.state === 'queued' && row.cancelReason === null && row.expiresAt.getTime() > now,
      );
      return due.slice(0, Math.max(0, credit - inFlight.size)).flatMap((row) => {
        const taken: Row = {
          ...row,
          state: 'sent',
          epoch,
          revision: row.revision + 1,
          deadlineAt: new Date(now + acknowledgeMs),
          history: [...row.history, { state: 'sent', cause: 'handed over' }],
        };
        rows.set(row.executionId, taken);
        return dies ? [] : [commandTo(taken, epoch, now)];
      });
    },
    receive(message, now, random) {
      if (link === undefined) return;
      const session = link;
      const facts = { agentId, epoch: session.epoch };
      const { executionId, attempt } = message.kind === 'result' ? message.result : message;
      const entry = session.inFlight.get(executionId);
      const known = entry?.attempt === attempt ? entry : undefined;
      if (message.kind !== 'result') {
        if (known === undefined) return;
        const change: ExecutionChange = {
          executionId,
          from: allowedFrom[message.kind],
          ...facts,
          attempt,
          transitions: [transitionRow(message.kind, 'said so', now)],
          deadlineAt: new Date(now + known.timeoutMs + resultGraceMs),
        };
        pending.push({ change, done: () => [] });
        return;
      }
      const decision = decideResult(message.result);
      const { ended, retry } = resultChanges(
        facts,
        message.result,
        decision,
        known,
        now,
        random,
        builtInCatalogue,
      );
      pending.push({
        change: retry ?? ended,
        ...(retry && { otherwise: ended }),
        done() {
          if (session.inFlight.get(executionId)?.attempt === attempt) session.inFlight.delete(executionId);
          return link === session ? [{ kind: 'acknowledge', executionId, attempt }] : [];
        },
      });
    },
    commit() {
      const batch = pending;
      pending = [];
      const rounds = mergeChanges(batch.map((p) => p.change));
      const applied = rounds.map((round) => apply(rows, round.changes));
      const out: ToAgent[] = [];
      for (const one of batch) {
        const round = rounds.findIndex(({ parts }) => parts.includes(one.change));
        const done = applied[round]?.has(one.change.executionId) ?? false;
        if (!done && one.otherwise !== undefined) apply(rows, [one.otherwise]);
        out.push(...one.done(done));
      }
      return out;
    },
    sweep(now, random) {
      for (const row of [...rows.values()]) {
        if (row.deadlineAt === null || row.deadlineAt.getTime() > now) continue;
        const change = overdueChange(row, now, random, effectOf(row.verb));
        if (change !== undefined && apply(rows, [change]).size > 0) link?.inFlight.delete(row.executionId);
      }
    },
    crash() {
      link = undefined;
      pending = [];
    },
  };
}
