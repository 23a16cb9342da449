import { setTimeout as delay } from 'node:timers/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { durationMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  ArgsEncoding,
  CommandBodySchema,
  Result_Outcome as Outcome,
  ResultSchema,
} from '#gen/viworks/agent/v1/command_pb.js';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import type { Error as ServerError } from '#gen/viworks/agent/v1/flow_pb.js';
import { HelloSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { ExecArgsSchema, ExecResultSchema } from '#gen/viworks/verbs/v1/system_pb.js';
import type { AgentIdentity } from '../src/agent/identity.ts';
import type { SessionEnd } from '../src/agent/reconnect.ts';
import type { ViworksError as BuiltError } from '../src/errors.ts';
import type { Connection } from '../src/protocol/connection.ts';
import { built } from './support/built.ts';
import { answerCalls } from './support/child.ts';
import { clockMs } from './support/clock.ts';
import { agentNames, enrolAll, forEach } from './support/enrolment.ts';

/**
 * A fleet of simulated agents in one process. Each has an HTTP/2 connection of its own, shakes hands as the SDK
 * does and says what the SDK says of a command that is done at once: its RESULT. It has no runner and no ledger,
 * because the machines of a real fleet do that work elsewhere.
 */

export type FleetCalls = {
  enroll(input: { url: string; token: string; count: number; first?: number }): Promise<string[]>;
  /** Resolves when the first so many agents have their sessions. */
  connect(input: { url: string; count: number }): Promise<void>;
  disconnect(): Promise<void>;
  /**
   * Breaks every connection at once; each agent comes back when the SDK would. Answers when all are back, with the
   * milliseconds from the break until each had its session, and how often they were turned away.
   */
  storm(input: { url: string }): Promise<{ backMs: number[]; refusals: number }>;
  /** Milliseconds from the submit to the acknowledgement of the result, of every command since the last call. */
  latencies(): Promise<number[]>;
};
/** Results that are acknowledged, which means committed. */
export type FleetTell = { settled: number };

const connectAtOnce = 100;

const [
  { createConnectDialer },
  { writeOffer, checkChallenge, writeProof },
  { planReconnect, defaultReconnect },
] = await Promise.all([built.connect(), built.handshake(), built.reconnect()]);
const { ViworksError } = await built.errors();

const identities: AgentIdentity[] = [];
let connections: Connection[] = [];
let latencies: number[] = [];

/** What every command answers. */
const output = toBinary(ExecResultSchema, create(ExecResultSchema, { duration: { nanos: 1_000_000 } }));
const stdout = { data: new TextEncoder().encode('done\n'), totalBytes: 5n };

async function open(identity: AgentIdentity, url: string): Promise<Connection> {
  const opened = Promise.withResolvers<void>();
  let offer: Uint8Array = new Uint8Array();
  let received = 0n;
  let sent = 0n;
  let acknowledgeSoon = false;
  /** Of results that are not acknowledged: their sequence, and when their command was submitted. */
  const waiting: { sequence: bigint; submittedAt: number }[] = [];

  function say(body: Envelope['body'], sequence: bigint): void {
    connection.send(create(EnvelopeSchema, { sequence, acknowledged: received, body }));
  }

  function answer(command: Uint8Array): void {
    const order = fromBinary(CommandBodySchema, command);
    const { executionId, attempt } = order;
    // The time at which it was submitted travels with it.
    const [, submittedAt] = fromBinary(ExecArgsSchema, order.args).argv;
    const now = timestampFromMs(Date.now());
    sent += 1n;
    const value = create(ResultSchema, {
      executionId,
      attempt,
      outcome: Outcome.SUCCEEDED,
      exitCode: 0,
      stdout,
      output,
      outputEncoding: ArgsEncoding.PROTOBUF,
      startedAt: now,
      finishedAt: now,
    });
    say({ case: 'result', value }, sent);
    waiting.push({ sequence: sent, submittedAt: Number(submittedAt) });
  }

  function acknowledged(upTo: bigint): void {
    let count = 0;
    while (waiting[count] !== undefined && (waiting[count]?.sequence ?? 0n) <= upTo) count += 1;
    if (count === 0) return;
    const now = clockMs();
    for (const { submittedAt } of waiting.splice(0, count)) latencies.push(now - submittedAt);
    countSettled(count);
  }

  function acknowledgeInTick(): void {
    if (acknowledgeSoon) return;
    acknowledgeSoon = true;
    queueMicrotask(() => {
      acknowledgeSoon = false;
      connection.send(create(EnvelopeSchema, { acknowledged: received }));
    });
  }

  function onEnvelope({ body, sequence, acknowledged: upTo }: Envelope): void {
    if (sequence !== 0n) received = sequence;
    acknowledged(upTo);
    switch (body.case) {
      case 'challenge':
        checkChallenge(identity, offer, body.value, Date.now());
        return say(
          {
            case: 'proof',
            value: writeProof(identity, { offer, challenge: body.value, now: Date.now() }).proof,
          },
          0n,
        );
      case 'welcome':
        return opened.resolve();
      case 'command':
        return answer(body.value.body);
      case 'error':
        return opened.reject(refusalOf(body.value));
      default:
        if (sequence !== 0n) acknowledgeInTick();
    }
  }

  const connection: Connection = await createConnectDialer({ url }).dial(
    { onEnvelope, onClose: (error) => opened.reject(error ?? new Error('the session ended')) },
    AbortSignal.timeout(30_000),
  );
  offer = writeOffer(identity, {
    bootId: new Uint8Array(16),
    capabilities: ['exec'],
    executionCredit: 1000,
    executions: [],
  });
  say({ case: 'hello', value: create(HelloSchema, { offer }) }, 0n);
  await opened.promise;
  return connection;
}

/** The server's word with its time to come back, where it gives one. */
function refusalOf({ message, retryAfter }: ServerError): BuiltError {
  const wait = retryAfter === undefined ? {} : { retryAfterMs: durationMs(retryAfter) };
  return new ViworksError('unavailable', message, wait);
}

/** Milliseconds: what is told more often costs the machine that is measured. */
const tellEveryMs = 5;
let settled = 0;
function countSettled(count: number): void {
  if (settled === 0) {
    setTimeout(() => {
      tell('settled', settled);
      settled = 0;
    }, tellEveryMs);
  }
  settled += count;
}

const calls: FleetCalls = {
  async enroll({ url, token, count, first }) {
    const names = agentNames(count, first);
    identities.push(...(await enrolAll(url, token, names)));
    return names;
  },
  async connect({ url, count }) {
    connections = await forEach(identities.slice(0, count), connectAtOnce, (identity) => open(identity, url));
  },
  async disconnect() {
    for (const connection of connections) connection.close();
    connections = [];
  },
  async storm({ url }) {
    const begun = performance.now();
    let refusals = 0;
    const comeBack = async (identity: AgentIdentity): Promise<{ connection: Connection; ms: number }> => {
      let end: SessionEnd = {
        error: new ViworksError('connection_lost', 'broken by the benchmark'),
        drainMs: undefined,
        openForMs: 0,
      };
      for (let attempt = 0; ; ) {
        const plan = planReconnect(end, attempt, defaultReconnect);
        attempt = plan.attempt;
        await delay(plan.delayMs);
        try {
          return { connection: await open(identity, url), ms: performance.now() - begun };
        } catch (thrown) {
          refusals += 1;
          end = { ...end, error: ViworksError.from(thrown) };
        }
      }
    };
    const broken = connections;
    for (const connection of broken) connection.destroy();
    const back = await Promise.all(identities.slice(0, broken.length).map(comeBack));
    connections = back.map(({ connection }) => connection);
    return { backMs: back.map(({ ms }) => ms), refusals };
  },
  async latencies() {
    const taken = latencies;
    latencies = [];
    return taken;
  },
};

const tell = answerCalls<FleetTell, Record<string, never>>(calls, {}, async () => {
  for (const connection of connections) connection.destroy();
  process.exit();
});
