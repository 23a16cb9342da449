import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  Result_Outcome as Outcome,
  type Result,
  ResultSchema,
} from '../../gen/viworks/agent/v1/command_pb.js';
import { createLedgerState, type LedgerLine, type LedgerState } from '../../src/agent/ledger-state.ts';
import {
  alreadyReported,
  cancelledUnseen,
  lostInRestart,
  rejected,
  withoutRun,
} from '../../src/agent/outcome.ts';
import type { Account } from '../../src/commands/executions/state.ts';

/** What goes over the wire, as far as the model cares. */
export type ToAgent =
  | { kind: 'command'; executionId: string; attempt: number; expiresAt: number; epoch: number }
  | { kind: 'cancel'; executionId: string; attempt: number }
  | { kind: 'acknowledge'; executionId: string; attempt: number };
export type ToServer =
  | { kind: 'accepted' | 'running'; executionId: string; attempt: number }
  | { kind: 'result'; result: Result };

export type Ending = 'succeeded' | 'failed' | 'timed_out';

/**
 * An agent as the model sees it: the real ledger over lines that survive a crash, and work whose effects are
 * counted. Every step is written before it is taken, so a crash may fall between any two.
 */
export interface ModelAgent {
  /** Effects of each execution, over all attempts and lives of the agent. */
  readonly effects: ReadonlyMap<string, number>;
  readonly running: readonly { executionId: string; attempt: number }[];
  /** The account for HELLO, and the results that go out anew. */
  hello(): { account: Map<string, Account>; results: ToServer[] };
  /** @param dies the agent ends after the order is in its ledger, before the work begins */
  receive(message: ToAgent, now: number, dies: boolean): ToServer[];
  finish(at: number, ending: Ending, now: number): ToServer[];
  /** Results that were acknowledged as succeeded, by execution and attempt. */
  readonly reportedSuccess: ReadonlySet<string>;
  restart(now: number): void;
}

const keyOf = (executionId: string, attempt: number) => `${executionId}/${attempt}`;

export function createModelAgent(): ModelAgent {
  const lines: LedgerLine[] = [];
  const effects = new Map<string, number>();
  const reportedSuccess = new Set<string>();
  let running: { executionId: string; attempt: number }[] = [];
  let ledger: LedgerState = createLedgerState();

  function write(line: LedgerLine): void {
    lines.push(line);
    ledger.apply(line);
  }

  function conclude(result: Result, now: number): ToServer[] {
    const { executionId: id, attempt: n } = result;
    write({ k: 'finished', id, n, at: now, r: toBinary(ResultSchema, result) });
    running = running.filter((work) => keyOf(work.executionId, work.attempt) !== keyOf(id, n));
    return [{ kind: 'result', result }];
  }

  const entryOf = (executionId: string, attempt: number) => {
    const entry = ledger.find(executionId, attempt);
    return entry === 'settled' ? undefined : entry;
  };

  function answerKnown(executionId: string, attempt: number, now: number): ToServer[] | undefined {
    const name = { executionId, attempt };
    if (running.some((work) => work.executionId === executionId && work.attempt === attempt)) {
      return [
        { kind: 'accepted', ...name },
        { kind: 'running', ...name },
      ];
    }
    if (ledger.find(executionId, attempt) === 'settled') {
      return [{ kind: 'result', result: alreadyReported(name, now) }];
    }
    const entry = entryOf(executionId, attempt);
    if (entry === undefined) return undefined;
    if (entry.result !== undefined)
      return [{ kind: 'result', result: fromBinary(ResultSchema, entry.result) }];
    return conclude(lostInRestart(name, entry.startedAt, now), now);
  }

  function takeCommand(
    { executionId, attempt, expiresAt, epoch }: Extract<ToAgent, { kind: 'command' }>,
    now: number,
    dies: boolean,
  ): ToServer[] {
    const name = { executionId, attempt };
    const known = answerKnown(executionId, attempt, now);
    if (known !== undefined) return known;
    if (now >= expiresAt) return conclude(rejected(name, { code: 'expired', message: 'too late' }, now), now);
    if (running.length >= 2) {
      return conclude(rejected(name, { code: 'resource_exhausted', message: 'full' }, now), now);
    }
    write({ k: 'started', id: executionId, n: attempt, at: now, e: String(epoch) });
    if (dies) return [];
    effects.set(executionId, (effects.get(executionId) ?? 0) + 1);
    running.push(name);
    return [
      { kind: 'accepted', ...name },
      { kind: 'running', ...name },
    ];
  }

  function takeCancel({ executionId, attempt }: { executionId: string; attempt: number }, now: number) {
    const name = { executionId, attempt };
    if (running.some((work) => work.executionId === executionId && work.attempt === attempt)) {
      return conclude(
        withoutRun(name, Outcome.CANCELLED, { code: 'cancelled', message: '' }, { finishedAt: now }),
        now,
      );
    }
    return answerKnown(executionId, attempt, now) ?? conclude(cancelledUnseen(name, now), now);
  }

  return {
    effects,
    reportedSuccess,
    get running() {
      return running;
    },
    hello() {
      const account = new Map<string, Account>();
      const results: ToServer[] = [];
      for (const { executionId, attempt, phase, result } of ledger.unsettled()) {
        account.set(executionId, { attempt, phase: phase === 'finished' ? 'finished' : 'running' });
        if (result !== undefined) results.push({ kind: 'result', result: fromBinary(ResultSchema, result) });
      }
      return { account, results };
    },
    receive(message, now, dies) {
      if (message.kind === 'command') return takeCommand(message, now, dies);
      if (message.kind === 'cancel') return takeCancel(message, now);
      const { executionId, attempt } = message;
      const entry = entryOf(executionId, attempt);
      if (entry?.result === undefined) return [];
      if (fromBinary(ResultSchema, entry.result).outcome === Outcome.SUCCEEDED) {
        reportedSuccess.add(keyOf(executionId, attempt));
      }
      write({ k: 'settled', id: executionId, n: attempt, at: now });
      return [];
    },
    finish(at, ending, now) {
      const work = running[at % Math.max(1, running.length)];
      if (work === undefined) return [];
      const outcomes = {
        succeeded: Outcome.SUCCEEDED,
        failed: Outcome.FAILED,
        timed_out: Outcome.TIMED_OUT,
      };
      const failure =
        ending === 'succeeded' ? {} : { failure: { code: 'exit_code', message: 'exit code 1' } };
      return conclude(create(ResultSchema, { ...work, outcome: outcomes[ending], ...failure }), now);
    },
    restart(now) {
      running = [];
      ledger = createLedgerState();
      for (const line of lines) ledger.apply(line);
      for (const entry of [...ledger.unsettled()]) {
        if (entry.phase !== 'finished') conclude(lostInRestart(entry, entry.startedAt, now), now);
      }
    },
  };
}
