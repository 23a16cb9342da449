import { fromBinary } from '@bufbuild/protobuf';
import { durationMs } from '@bufbuild/protobuf/wkt';
import { type Command, type CommandBody, CommandBodySchema } from '#gen/viworks/agent/v1/command_pb.js';
import { ViworksError } from '../errors.ts';
import { timestampMs } from '../protocol/envelope.ts';
import { wireLimits } from '../protocol/limits.ts';
import { assertValid } from '../protocol/validation.ts';
import { argsFromBytes, type VerbValue } from '../protocol/verb-values.ts';
import { builtInCatalogue } from '../protocol/verbs.ts';
import type { Executor, ExecutorFailure, ExecutorSet } from './executors/executor.ts';

/** An order is a COMMAND that this agent is able and allowed to run. */
export interface Order {
  executionId: string;
  attempt: number;
  executor: Executor;
  /** Valid args of the verb. */
  args: VerbValue;
  timeoutMs: number;
  /** Bytes to keep of stdout, and of stderr. */
  outputLimit: number;
  /** Milliseconds since 1970 by the server's clock; undefined: never. */
  expiresAt: number | undefined;
}

export type Verdict = { order: Order } | { refusal: ExecutorFailure };

/** What a verdict depends on beside the body. */
export interface OrderFacts {
  agentId: string;
  incarnation: number;
  executors: ExecutorSet;
  /** Milliseconds since 1970 by the server's clock. */
  serverNow: number;
}

/** How far the server's clock, as it is estimated here, may be behind a not_before. */
const toleranceMs = 5_000;

/**
 * Whether the command's signatures allow it to be parsed: it gets the bytes as they came, before anything of them is
 * read. See command-trust.ts.
 * @throws signature_invalid
 */
export type VerifyCommand = (command: Command) => void;

/** @throws invalid_request where it cannot be read, or lacks what every answer needs */
export function readBody(command: Command): CommandBody {
  let body: CommandBody;
  try {
    body = fromBinary(CommandBodySchema, command.body);
  } catch (cause) {
    throw new ViworksError('invalid_request', 'body: is not a CommandBody', { cause });
  }
  assertValid(CommandBodySchema, body, 'invalid_request', 'body.');
  return body;
}

/** Whether to run what the body orders. */
export function judge(body: CommandBody, facts: OrderFacts): Verdict {
  if (body.agentId !== facts.agentId || body.incarnation !== facts.incarnation)
    return refuse(
      'wrong_audience',
      'The command is for another agent, or for another enrolment of this one.',
    );
  const expiresAt = timestampMs(body.expiresAt);
  if (hasExpired(expiresAt, facts.serverNow)) return refuse('expired', 'The command came too late.');
  const notBefore = timestampMs(body.notBefore);
  if (notBefore !== undefined && notBefore > facts.serverNow + toleranceMs)
    return refuse('not_yet_valid', 'The command came too early.');
  const executor = facts.executors.get(body.verb);
  if (executor === undefined) {
    const known = builtInCatalogue.get(body.verb);
    if (known === undefined) return refuse('verb_unknown', `There is no verb ${body.verb} here.`);
    return refuse('capability_missing', `This agent lacks the capability ${known.capability}.`);
  }
  const args = readArgs(executor, body);
  if ('refusal' in args) return args;
  return {
    order: {
      executionId: body.executionId,
      attempt: body.attempt,
      executor,
      args: args.value,
      timeoutMs: Math.max(
        1,
        body.timeout === undefined ? executor.verb.defaultTimeoutMs : durationMs(body.timeout),
      ),
      outputLimit: Math.min(
        body.outputLimit === 0 ? wireLimits.outputBytes : body.outputLimit,
        wireLimits.outputBytes,
      ),
      expiresAt,
    },
  };
}

/** @param serverNow milliseconds since 1970 by the server's clock */
export function hasExpired(expiresAt: number | undefined, serverNow: number): boolean {
  return expiresAt !== undefined && expiresAt <= serverNow;
}

function readArgs(
  executor: Executor,
  body: CommandBody,
): { value: VerbValue } | { refusal: ExecutorFailure } {
  try {
    return { value: argsFromBytes(executor.verb, body.args, body.argsEncoding) };
  } catch (error) {
    if (error instanceof ViworksError) return refuse(error.code, error.message);
    throw error;
  }
}

const refuse = (code: string, message: string) => ({ refusal: { code, message } });
