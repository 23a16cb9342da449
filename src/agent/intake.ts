import { fromBinary } from '@bufbuild/protobuf';
import { type Cancel, CancelSchema, type Command, ResultSchema } from '#gen/viworks/agent/v1/command_pb.js';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { assertValid } from '../protocol/validation.ts';
import type { ExecutorSet } from './executors/executor.ts';
import type { AgentIdentity } from './identity.ts';
import type { Ledger } from './ledger.ts';
import { judge, readBody, type VerifyCommand } from './orders.ts';
import type { Outbox } from './outbox.ts';
import { alreadyReported, cancelledUnseen, lostInRestart, rejected } from './outcome.ts';
import type { Runner } from './runner.ts';

/**
 * The intake decides what becomes of a COMMAND or a CANCEL: whatever the ledger knows already is answered from
 * it, and never run again. The promises are fulfilled when the envelope may be acknowledged.
 */
export interface Intake {
  onCommand(command: Command): Promise<void>;
  onCancel(cancel: Cancel): Promise<void>;
}

export interface IntakeDeps {
  identity: AgentIdentity;
  executors: ExecutorSet;
  ledger: Ledger;
  runner: Runner;
  outbox: Outbox;
  clock: Clock;
  verifyCommand: VerifyCommand;
  /** Executions held at once, as HELLO granted them. */
  executionCredit: number;
  /** Milliseconds since 1970 by the server's clock. */
  serverNow(): number;
  /** Of the open session. */
  epoch(): bigint;
  stopping(): boolean;
}

/** Executions without an acknowledged RESULT that are kept; HELLO's account of them must fit into a message. */
const maximumUnsettled = 5_000;
const maximumUnsettledBytes = 64 * 1024 * 1024;

export function createIntake(deps: IntakeDeps): Intake {
  const { identity, executors, ledger, runner, outbox, clock, executionCredit } = deps;

  /** Answers for an execution that is over; undefined where the ledger knows of none. */
  function answerFromLedger(executionId: string, attempt: number): Promise<void> | undefined {
    const entry = ledger.find(executionId, attempt);
    if (entry === undefined) return undefined;
    const name = { executionId, attempt };
    if (entry === 'settled') outbox.add(alreadyReported(name, clock.now()));
    else if (entry.result !== undefined) outbox.add(fromBinary(ResultSchema, entry.result));
    else return runner.conclude(lostInRestart(name, entry.startedAt, clock.now()));
    return Promise.resolve();
  }

  function assertRoom(): void {
    if (ledger.unsettledCount < maximumUnsettled && ledger.unsettledBytes < maximumUnsettledBytes) return;
    throw new ViworksError('queue_full', 'The agent keeps too many results that were not acknowledged.');
  }

  return {
    async onCommand(command) {
      deps.verifyCommand(command);
      const body = readBody(command);
      const { executionId, attempt } = body;
      const name = { executionId, attempt };
      const known = runner.report(executionId, attempt) ?? answerFromLedger(executionId, attempt);
      if (known !== undefined) return known;
      // What is never acknowledged is offered again, to the agent's next process.
      if (deps.stopping()) return new Promise(() => {});
      assertRoom();
      const { agentId, incarnation } = identity;
      const verdict = judge(body, { agentId, incarnation, executors, serverNow: deps.serverNow() });
      if ('refusal' in verdict) return runner.conclude(rejected(name, verdict.refusal, clock.now()));
      if (runner.held >= executionCredit) {
        const message = `The agent holds ${runner.held} executions already.`;
        return runner.conclude(rejected(name, { code: 'resource_exhausted', message }, clock.now()));
      }
      return runner.take(verdict.order, deps.epoch());
    },
    async onCancel(cancel) {
      assertValid(CancelSchema, cancel);
      const { executionId } = cancel;
      const attempt = cancel.attempt || (runner.heldAttempt(executionId) ?? 1);
      if (runner.cancel(executionId, attempt)) return;
      const known = answerFromLedger(executionId, attempt);
      if (known !== undefined) return known;
      assertRoom();
      // In the ledger it turns away a COMMAND that comes late.
      await runner.conclude(cancelledUnseen({ executionId, attempt }, clock.now()));
    },
  };
}
