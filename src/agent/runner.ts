import { toBinary } from '@bufbuild/protobuf';
import { type Result, ResultSchema } from '#gen/viworks/agent/v1/command_pb.js';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { ExecutorOutcome } from './executors/executor.ts';
import type { Ledger } from './ledger.ts';
import { hasExpired, type Order } from './orders.ts';
import {
  type ExecutionName,
  failureOf,
  lostInRestart,
  rejected,
  resultOf,
  type StopReason,
  stoppedBeforeStart,
  withoutAcknowledged,
} from './outcome.ts';
import type { OutputSink, OutputStreams } from './output-stream.ts';
import type { Timers } from './timers.ts';

/**
 * The runner holds the executions of an agent from their order to their RESULT. It knows no session: what it
 * reports goes to whichever one is open, and what nobody hears stays in the ledger.
 */
export interface Runner {
  /** Resolves when the order is in the ledger; the work goes on from there. */
  take(order: Order, epoch: bigint): Promise<void>;
  /** Ends an execution that never ran with this RESULT. Resolves when it is in the ledger. */
  conclude(result: Result): Promise<void>;
  /** False where no such execution is held. */
  cancel(executionId: string, attempt: number): boolean;
  /** Reports again where a held execution is, once that is in the ledger; undefined where no such is held. */
  report(executionId: string, attempt: number): Promise<void> | undefined;
  reportAll(): void;
  /** The attempt of that execution that is held, if one is. */
  heldAttempt(executionId: string): number | undefined;
  /** Executions that were taken and have no RESULT yet. */
  readonly held: number;
  readonly running: number;
  /** Turns down what waits, lets what runs end, and ends it by force after the grace. */
  stop(graceMs: number): Promise<void>;
}

export interface RunnerDeps {
  ledger: Ledger;
  output: Pick<OutputStreams, 'open'>;
  clock: Clock;
  timers: Timers;
  log: Logger;
  /** Executions that run at the same time. */
  concurrency: number;
  /** Milliseconds since 1970 by the server's clock. */
  serverNow(): number;
  onAccepted(name: ExecutionName): void;
  onRunning(name: ExecutionName, startedAt: number): void;
  /** The RESULT is in the ledger. */
  onResult(result: Result): void;
}

/** An executor that does not heed its signal is given up after this long. */
const abandonMs = 10_000;

/** Of work that is done this soon, only the result is told: nobody would see that it ran. */
const quickMs = 10;

interface Held {
  order: Order;
  epoch: bigint;
  controller: AbortController;
  /** Fulfilled when the ledger knows of it, or has refused to. */
  recorded: Promise<void>;
  accepted: boolean;
  /** Milliseconds since 1970; undefined until it runs. */
  startedAt: number | undefined;
}

const keyOf = (executionId: string, attempt: number) => `${executionId}/${attempt}`;

export function createRunner(deps: RunnerDeps): Runner {
  const { ledger, clock, timers, log } = deps;
  const held = new Map<string, Held>();
  const waiting: Held[] = [];
  let active = 0;
  let idle: (() => void) | undefined;

  function take(order: Order, epoch: bigint): Promise<void> {
    const item: Held = {
      order,
      epoch,
      controller: new AbortController(),
      recorded: Promise.resolve(),
      accepted: false,
      startedAt: undefined,
    };
    held.set(keyOf(order.executionId, order.attempt), item);
    item.recorded = record(item);
    return item.recorded;
  }

  async function record(item: Held): Promise<void> {
    const { order, epoch } = item;
    const atOnce = active < deps.concurrency;
    if (atOnce) active += 1;
    try {
      // One line, and so one sync, where the work begins at once.
      const step = atOnce ? ledger.started : ledger.accepted;
      await step(order.executionId, order.attempt, epoch);
    } catch {
      refuseUnwritten(item, atOnce);
      return;
    }
    item.accepted = true;
    if (atOnce) {
      // That it runs, or its result, says as much.
      void execute(item);
      return;
    }
    deps.onAccepted(order);
    waiting.push(item);
    startWaiting();
  }

  /** Nothing begins that the ledger does not know of. */
  function refuseUnwritten(item: Held, hadSlot: boolean): void {
    const { order } = item;
    ledger.forget(order.executionId, order.attempt);
    const failure = { code: 'ledger_unavailable', message: "The agent's ledger cannot be written." };
    release(item, rejected(nameOf(order), failure, clock.now()), hadSlot);
  }

  function startWaiting(): void {
    while (active < deps.concurrency) {
      const item = waiting.shift();
      if (item === undefined) return;
      active += 1;
      void beginWaited(item);
    }
  }

  async function beginWaited(item: Held): Promise<void> {
    const { order } = item;
    if (hasExpired(order.expiresAt, deps.serverNow())) {
      const failure = { code: 'expired', message: 'It waited on the agent for too long.' };
      return finish(item, rejected(nameOf(order), failure, clock.now()));
    }
    try {
      await ledger.started(order.executionId, order.attempt, item.epoch);
    } catch {
      return refuseUnwritten(item, true);
    }
    return execute(item);
  }

  /** The slot is taken and the ledger says that it started. */
  async function execute(item: Held): Promise<void> {
    const { order, controller } = item;
    const stop = stopReason(controller.signal);
    if (stop !== undefined) return finish(item, stoppedBeforeStart(nameOf(order), stop, clock.now()));
    const startedAt = clock.now();
    item.startedAt = startedAt;
    const offRunning = timers.after(quickMs, () => deps.onRunning(order, startedAt));
    const offTimeout = timers.after(order.timeoutMs, () => abort(item, 'timeout'));
    const sink = deps.output.open(nameOf(order), order.outputLimit);
    const outcome = await runToEnd(item, sink);
    offTimeout();
    offRunning();
    const times = { startedAt, finishedAt: clock.now() };
    const acknowledged = sink.close();
    await finish(item, resultFrom(order, outcome, acknowledged, stopReason(controller.signal), times));
  }

  /** An outcome that cannot travel is a defect of its executor, and ends no more than its execution. */
  function resultFrom(
    order: Order,
    outcome: ExecutorOutcome,
    acknowledged: ReturnType<OutputSink['close']>,
    stop: StopReason | undefined,
    times: Parameters<typeof resultOf>[3],
  ): Result {
    const name = nameOf(order);
    try {
      return resultOf(name, withoutAcknowledged(outcome, acknowledged), stop, times);
    } catch (err) {
      log.error({ err, verb: order.executor.verb.name }, 'the outcome of an executor cannot be told');
      return resultOf(name, { failure: failureOf(err) }, stop, times);
    }
  }

  async function runToEnd(
    { order, controller: { signal } }: Held,
    sink: OutputSink,
  ): Promise<ExecutorOutcome> {
    const { promise: abandoned, resolve: abandon } = Promise.withResolvers<ExecutorOutcome>();
    let offAbandon: (() => void) | undefined;
    const onAbort = () => {
      offAbandon = timers.after(abandonMs, () => {
        log.error({ execution: order.executionId }, 'an execution does not stop, and is left to itself');
        abandon({ interrupted: true });
      });
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([runSafely(order, signal, sink), abandoned]);
    } finally {
      offAbandon?.();
      signal.removeEventListener('abort', onAbort);
    }
  }

  async function runSafely(order: Order, signal: AbortSignal, sink: OutputSink): Promise<ExecutorOutcome> {
    const { executor, args, timeoutMs, outputLimit } = order;
    try {
      return await executor.run(args, { signal, timeoutMs, outputLimit, onOutput: sink.write, log });
    } catch (err) {
      // Work that was told to stop usually throws something of its own.
      if (signal.aborted) return { interrupted: true };
      const failure = failureOf(err);
      if (failure.code === 'internal') log.error({ err, verb: executor.verb.name }, 'an executor failed');
      return { failure };
    }
  }

  async function finish(item: Held, result: Result): Promise<void> {
    await write(result);
    release(item, result, true);
  }

  async function write(result: Result): Promise<void> {
    try {
      await ledger.finished(result.executionId, result.attempt, toBinary(ResultSchema, result));
    } catch {
      // The RESULT is true and goes out all the same. Should it be lost too, the ledger only tells of the
      // start, and the outcome is reported as unknown after a restart.
    }
  }

  function release({ order }: Held, result: Result, hadSlot: boolean): void {
    held.delete(keyOf(order.executionId, order.attempt));
    if (hadSlot) active -= 1;
    deps.onResult(result);
    startWaiting();
    if (held.size === 0) idle?.();
  }

  function abort(item: Held, reason: StopReason): void {
    if (item.controller.signal.aborted) return;
    item.controller.abort(reason);
    const index = waiting.indexOf(item);
    if (index < 0) return;
    waiting.splice(index, 1);
    // It waits no more, and needs a slot only to be counted out by release().
    active += 1;
    void finish(item, stoppedBeforeStart(nameOf(item.order), reason, clock.now()));
  }

  function report(item: Held): void {
    if (!item.accepted) return;
    deps.onAccepted(item.order);
    if (item.startedAt !== undefined) deps.onRunning(item.order, item.startedAt);
  }

  return {
    take,
    async conclude(result) {
      await write(result);
      deps.onResult(result);
    },
    cancel(executionId, attempt) {
      const item = held.get(keyOf(executionId, attempt));
      if (item === undefined) return false;
      abort(item, 'cancelled');
      return true;
    },
    report(executionId, attempt) {
      const item = held.get(keyOf(executionId, attempt));
      if (item === undefined) return undefined;
      report(item);
      return item.recorded;
    },
    reportAll() {
      for (const item of held.values()) report(item);
    },
    heldAttempt(executionId) {
      for (const { order } of held.values()) if (order.executionId === executionId) return order.attempt;
      return undefined;
    },
    get held() {
      return held.size;
    },
    get running() {
      return active;
    },
    async stop(graceMs) {
      for (const item of [...waiting]) abort(item, 'stopped');
      if (held.size === 0) return;
      const ended = new Promise<void>((resolve) => {
        idle = resolve;
      });
      const offGrace = timers.after(graceMs, () => {
        for (const item of held.values()) abort(item, 'stopped');
      });
      await ended;
      offGrace();
    },
  };
}

/** Gives every execution of an earlier process its RESULT, so that nothing in the ledger stays open. */
export async function recoverLedger(ledger: Ledger, clock: Clock): Promise<number> {
  const lost = [...ledger.unsettled()].filter((entry) => entry.phase !== 'finished');
  await Promise.all(
    lost.map(({ executionId, attempt, startedAt }) => {
      const result = lostInRestart({ executionId, attempt }, startedAt, clock.now());
      return ledger.finished(executionId, attempt, toBinary(ResultSchema, result));
    }),
  );
  return lost.length;
}

const nameOf = ({ executionId, attempt }: Order): ExecutionName => ({ executionId, attempt });

function stopReason(signal: AbortSignal): StopReason | undefined {
  const reason: unknown = signal.aborted ? signal.reason : undefined;
  return reason === 'timeout' || reason === 'cancelled' || reason === 'stopped' ? reason : undefined;
}
