import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { durationMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  ArgsEncoding,
  type Command,
  CommandBodySchema,
  Result_Outcome as Outcome,
  ResultSchema,
} from '#gen/viworks/agent/v1/command_pb.js';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import type { Error as ServerError } from '#gen/viworks/agent/v1/flow_pb.js';
import { type Challenge, HelloSchema, type Welcome } from '#gen/viworks/agent/v1/handshake_pb.js';
import { ExecArgsSchema, ExecResultSchema } from '#gen/viworks/verbs/v1/system_pb.js';
import type { AgentIdentity } from '../../src/agent/identity.ts';
import type { TlsTerms } from '../../src/agent/transport/tls.ts';
import type { ViworksError as BuiltError } from '../../src/errors.ts';
import type { Connection } from '../../src/protocol/connection.ts';
import type { SealedConnection } from '../../src/protocol/sealing/connection.ts';
import { built } from './built.ts';
import { createMeasuring, type MeasuringLoad } from './fleet-measuring.ts';

/**
 * A simulated agent. It has an HTTP/2 connection of its own, shakes hands as the SDK does and says what the SDK says
 * of a command that is done at once: its RESULT. It has no runner and no ledger, because the machines of a real fleet
 * do that work elsewhere.
 */

export interface FleetAgentOptions {
  url: string;
  /** Whom to believe, and what to show, over TLS. */
  tls?: TlsTerms | undefined;
  /** Seals its session and verifies every command, as agents do; otherwise neither. */
  secured: boolean;
  /** Results are acknowledged, which means committed; each with the time at which its command was submitted. */
  onCommitted(submittedAt: readonly number[]): void;
  /** What it measures, as much as is taken; `stored` hears of samples that are acknowledged. */
  measuring?:
    | (MeasuringLoad & { stored(samples: number, waitedMs: readonly number[]): void; bootId: Uint8Array })
    | undefined;
}

const [
  { createConnectDialer },
  { writeOffer, checkChallenge, agreementOf, writeProof },
  { createCommandTrust },
  { sealConnection },
  { newEphemeral },
  { silentLogger },
  { systemClock },
  { ViworksError },
] = await Promise.all([
  built.connect(),
  built.handshake(),
  built.commandTrust(),
  built.sealing(),
  built.primitives(),
  built.logger(),
  built.clock(),
  built.errors(),
]);

/** What every command answers. */
const output = toBinary(ExecResultSchema, create(ExecResultSchema, { duration: { nanos: 1_000_000 } }));
const stdout = { data: new TextEncoder().encode('done\n'), totalBytes: 5n };
const dialMs = 30_000;

/** Resolves when the agent has its session. */
export async function openFleetAgent(
  identity: AgentIdentity,
  { url, tls, secured, onCommitted, measuring: load }: FleetAgentOptions,
): Promise<Connection> {
  const opened = Promise.withResolvers<void>();
  const ephemeral = secured ? newEphemeral() : undefined;
  const trust = createCommandTrust({ identity, log: silentLogger, serverNow: Date.now });
  let offer: Uint8Array = new Uint8Array();
  let received = 0n;
  let sent = 0n;
  let acknowledgeSoon = false;
  let sealed: SealedConnection | undefined;
  /** Of results that are not acknowledged: their sequence, and when their command was submitted. */
  const waiting: { sequence: bigint; submittedAt: number }[] = [];

  const measuring =
    load &&
    createMeasuring(
      load,
      (value) => {
        sent += 1n;
        say({ case: 'telemetry', value }, sent);
        return sent;
      },
      load.stored,
    );

  function say(body: Envelope['body'], sequence: bigint): void {
    outward.send(create(EnvelopeSchema, { sequence, acknowledged: received, body }));
  }

  function prove(challenge: Challenge): void {
    const now = Date.now();
    const { ephemeralKey } = checkChallenge(identity, offer, challenge, now);
    const agreement = agreementOf(secured ? 'required' : 'off', ephemeral, ephemeralKey);
    const { proof, secrets } = writeProof(identity, { offer, challenge, now, agreement });
    say({ case: 'proof', value: proof }, 0n);
    if (secrets === undefined) return;
    sealed = sealConnection(connection, { role: 'agent', secrets, clock: systemClock, deliver });
  }

  function welcomed({ sessionId, epoch, signedCommandKeys }: Welcome): void {
    if (secured && signedCommandKeys !== undefined) trust.accept(signedCommandKeys);
    if (sealed !== undefined) {
      sealed.bind(sessionId, epoch);
      outward = sealed;
    }
    opened.resolve();
  }

  function answer(command: Command): void {
    if (secured) trust.verify(command);
    const { executionId, attempt, args } = fromBinary(CommandBodySchema, command.body);
    // The time at which it was submitted travels with it.
    const [, submittedAt] = fromBinary(ExecArgsSchema, args).argv;
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
    if (count > 0) onCommitted(waiting.splice(0, count).map(({ submittedAt }) => submittedAt));
  }

  function acknowledgeInTick(): void {
    if (acknowledgeSoon) return;
    acknowledgeSoon = true;
    queueMicrotask(() => {
      acknowledgeSoon = false;
      outward.send(create(EnvelopeSchema, { acknowledged: received }));
    });
  }

  function deliver({ body, sequence, acknowledged: upTo }: Envelope): void {
    if (sequence !== 0n) received = sequence;
    acknowledged(upTo);
    measuring?.acknowledged(upTo);
    switch (body.case) {
      case 'challenge':
        return prove(body.value);
      case 'welcome':
        return welcomed(body.value);
      case 'command':
        return answer(body.value);
      case 'error':
        return opened.reject(refusalOf(body.value));
      case 'credit':
        if (body.value.telemetry !== undefined) measuring?.granted(body.value.telemetry);
        return acknowledgeInTick();
      default:
        if (sequence !== 0n) acknowledgeInTick();
    }
  }

  function onEnvelope(message: Envelope): void {
    if (message.body.case === 'sealed' && sealed !== undefined) sealed.receive(message);
    else deliver(message);
  }

  const connection: Connection = await createConnectDialer({ url, tls }).dial(
    {
      onEnvelope,
      onClose(error) {
        measuring?.end();
        opened.reject(error ?? new Error('the session ended'));
      },
    },
    AbortSignal.timeout(dialMs),
  );
  let outward = connection;
  const facts = {
    bootId: load?.bootId ?? new Uint8Array(16),
    capabilities: ['exec'],
    executionCredit: 1000,
    executions: [],
  };
  offer = writeOffer(identity, facts, 0n, ephemeral);
  say({ case: 'hello', value: create(HelloSchema, { offer }) }, 0n);
  await opened.promise;
  measuring?.begin();
  return connection;
}

/** The server's word with its time to come back, where it gives one. */
function refusalOf({ message, retryAfter }: ServerError): BuiltError {
  const wait = retryAfter === undefined ? {} : { retryAfterMs: durationMs(retryAfter) };
  return new ViworksError('unavailable', message, wait);
}
