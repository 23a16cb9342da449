import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { CertificateRequest } from '#gen/viworks/agent/v1/certificate_pb.js';
import {
  CancelSchema,
  type Command,
  CommandUpdateSchema,
  Result_Outcome as Outcome,
  ResultSchema,
} from '#gen/viworks/agent/v1/command_pb.js';
import type { Envelope } from '#gen/viworks/agent/v1/envelope_pb.js';
import {
  CreditSchema,
  DrainSchema,
  type Error as ErrorBody,
  ErrorSchema,
  HeartbeatSchema,
} from '#gen/viworks/agent/v1/flow_pb.js';
import type { Telemetry } from '#gen/viworks/agent/v1/telemetry_pb.js';
import type { AgentLink } from '../commands/dispatch/links.ts';
import type { CommandEngine } from '../commands/engine.ts';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import type { Connection } from '../protocol/connection.ts';
import { acknowledgement, type EnvelopeBody, envelope } from '../protocol/envelope.ts';
import { isPlainResult } from '../protocol/result-check.ts';
import { createInbound, createOutbound } from '../protocol/sequence.ts';
import { hasSeveral } from '../protocol/unread-telemetry.ts';
import { assertValid } from '../protocol/validation.ts';
import type { Standing } from '../registry/standing.ts';
import type { OrderRow } from '../storage/executions.ts';
import type { TelemetryIngest } from '../telemetry/ingest.ts';
import { createAcknowledgement } from './acknowledgement.ts';
import { type BudgetLimits, createBudget } from './budget.ts';
import type { SessionCertificates } from './certificates.ts';
import type { CommandSigning } from './command-signing.ts';
import { commandBody } from './outbox.ts';
import { createOutflow } from './outflow.ts';
import { createReading } from './reading.ts';
import { createTelemetryCredit } from './telemetry-credit.ts';

/**
 * A session is an authenticated conversation with one agent over one connection. It numbers what it sends,
 * acknowledges what is committed, and gives each envelope to the part that owns its kind.
 */
export interface Session {
  readonly sessionId: string;
  readonly link: AgentLink;
  /** Monotonic time of the last sign of life. */
  readonly heardAt: number;
  receive(message: Envelope): void;
  send(body: EnvelopeBody & { case: string }): void;
  /** Now and then, once the agent was welcomed: what it may say may be another. */
  look(): void;
  drain(reason: string, reconnectAfterMs: number): void;
}

export interface SessionDeps {
  engine: Pick<CommandEngine, 'update' | 'result' | 'dispatcher' | 'links'>;
  telemetry: Pick<TelemetryIngest, 'ingest' | 'credit'>;
  standing: Pick<Standing, 'confirm'>;
  signing: CommandSigning;
  certificates?: SessionCertificates | undefined;
  metrics: Pick<Metrics, 'commandsRefused' | 'agentsSlowed' | 'agentsSlowedNow'>;
  /** What an agent may say; absent: any number. */
  budget?: BudgetLimits | undefined;
  clock: Clock;
  log: Logger;
}

export interface SessionFacts {
  sessionId: string;
  agentId: string;
  incarnation: number;
  epoch: number;
  bootId: Uint8Array;
  window: number;
  capabilities: readonly string[];
  maintenance: boolean;
}

/** Envelopes of the agent that may wait for their commit; over it the connection is not read. */
const inboundHigh = 2000;
const inboundLow = 1000;

/** Refusals of a COMMAND of which the agent does not know what it is. */
const unreadable: ReadonlySet<string> = new Set(['signature_invalid', 'invalid_request']);

/**
 * @param fail ends the session; the agent is told the error
 */
export function createSession(
  deps: SessionDeps,
  facts: SessionFacts,
  connection: Connection,
  fail: (error: ViworksError) => void,
): Session {
  const { engine, telemetry, standing, signing, clock, log } = deps;
  const { agentId } = facts;
  const inbound = createInbound();
  const outbound = createOutbound();
  const reading = createReading(connection);
  const outflow = createOutflow(connection, fail);
  const budget = deps.budget && createBudget(deps.budget, { ...deps, reading, agentId, fail });
  let heardAt = clock.monotonic();
  let underWay = 0;
  let paused = false;
  let confirmed = false;

  /** Answers with the sequence that it got. */
  function send(body: EnvelopeBody & { case: string }, traceparent?: string | null): bigint {
    const message = envelope(body, clock.now());
    message.sequence = body.case === 'heartbeat' ? 0n : outbound.next(undefined);
    message.acknowledged = acknowledging.take();
    if (traceparent) message.traceparent = traceparent;
    connection.send(message);
    return message.sequence;
  }

  const telemetryCredit = createTelemetryCredit({
    allowed: telemetry.credit,
    tell: (credit) => send({ case: 'credit', value: create(CreditSchema, { telemetry: credit }) }),
  });

  const acknowledging = createAcknowledgement(
    inbound,
    () => link.inFlight.size,
    (handled) => connection.send(acknowledgement(handled)),
  );

  function done(sequence: bigint, patient = false): void {
    inbound.done(sequence);
    acknowledging.due(patient);
  }

  /** Acknowledges when the work is committed; an error leaves it to the next session. @param patient see Acknowledgement */
  function settle(sequence: bigint, work: Promise<void>, patient = false): void {
    underWay++;
    if (!paused && underWay > inboundHigh) {
      paused = true;
      reading.hold();
    }
    const end = () => {
      underWay--;
      if (paused && underWay < inboundLow) {
        paused = false;
        reading.release();
      }
    };
    work.then(
      () => {
        end();
        done(sequence, patient);
      },
      (error: unknown) => {
        end();
        fail(ViworksError.from(error));
      },
    );
  }

  const link: AgentLink = {
    agentId,
    incarnation: facts.incarnation,
    epoch: facts.epoch,
    capabilities: facts.capabilities,
    window: facts.window,
    inFlight: engine.links.inFlight(),
    reserved: 0,
    backlog: true,
    paused: facts.maintenance,
    deliver(order: OrderRow) {
      signing.sign(commandBody(order), (value) => {
        if (outflow.takes(value.body.byteLength)) handOver(order, value);
        else outflow.wait(() => handOverStill(order, value));
      });
    },
    cancel(executionId, attempt, reason) {
      // It does not overtake its command.
      signing.flush();
      const value = create(CancelSchema, { executionId, attempt, reason });
      if (outflow.takes(0)) send({ case: 'cancel', value });
      else outflow.wait(() => send({ case: 'cancel', value }));
    },
  };

  /** What waited for too long counts as not handed over, and is offered again. */
  function handOverStill(order: OrderRow, value: Command): void {
    if (link.inFlight.get(order.executionId)?.attempt === order.attempt) handOver(order, value);
  }

  function handOver(order: OrderRow, value: Command): void {
    const sequence = send({ case: 'command', value }, order.traceparent);
    const entry = link.inFlight.get(order.executionId);
    if (entry !== undefined) entry.sequence = sequence;
  }

  function refuse(sequence: bigint, kind: string): void {
    budget?.stray();
    const text = `${kind} is not offered by this server`;
    log.info({ agentId, kind }, 'an envelope of a kind that is not offered');
    const value = create(ErrorSchema, { code: 'invalid_request', message: text, sequence });
    send({ case: 'error', value });
    done(sequence);
  }

  /** The agent says nothing of what it cannot verify or read but where it came: that ends what was sent there. */
  function receiveError(sequence: bigint, { code, message, sequence: refused }: ErrorBody): void {
    budget?.stray();
    log.warn({ agentId, code, text: message }, 'the agent reports an error');
    const order = unreadable.has(code) && refused > 0n ? link.inFlight.sentAs(refused) : undefined;
    if (order === undefined) return sequence > 0n ? done(sequence) : undefined;
    deps.metrics.commandsRefused.inc({ code });
    log.error({ agentId, ...order, code }, 'an agent refuses a command as not given by this control plane');
    const failure = { code, message };
    const result = create(ResultSchema, { ...order, outcome: Outcome.REJECTED, failure });
    const ended = engine.result(link, result);
    if (sequence > 0n) settle(sequence, ended);
    else ended.catch((error: unknown) => fail(ViworksError.from(error)));
  }

  /** What is wrong with a request is told, and the session goes on. */
  async function issueCertificate(sequence: bigint, request: CertificateRequest): Promise<void> {
    try {
      const value = await deps.certificates?.request(request);
      if (value !== undefined) send({ case: 'agentCertificate', value });
    } catch (thrown) {
      const { code, message, retryable } = ViworksError.from(thrown);
      log.info({ agentId, code }, 'a certificate is not issued');
      send({ case: 'error', value: create(ErrorSchema, { code, message, retryable, sequence }) });
    }
  }

  function receiveTelemetry(sequence: bigint, message: Telemetry): void {
    const end = telemetryCredit.begin(hasSeveral(message));
    settle(sequence, telemetry.ingest({ agentId, bootId: facts.bootId }, message).finally(end));
  }

  function named(executionId: string): void {
    if (budget !== undefined && link.inFlight.get(executionId) === undefined) budget.stray();
  }

  function dispatch({ body, sequence }: Envelope): void {
    switch (body.case) {
      case 'commandUpdate':
        assertValid(CommandUpdateSchema, body.value, 'protocol_violation', 'command_update.');
        named(body.value.executionId);
        return settle(sequence, engine.update(link, body.value));
      case 'result':
        if (!isPlainResult(body.value))
          assertValid(ResultSchema, body.value, 'protocol_violation', 'result.');
        named(body.value.executionId);
        return settle(sequence, engine.result(link, body.value), true);
      case 'telemetry':
        return receiveTelemetry(sequence, body.value);
      case 'heartbeat':
        // It is said in every heartbeat, and written down once.
        if (!confirmed && Number(body.value.generation) === facts.epoch) {
          confirmed = true;
          standing.confirm(agentId, facts.epoch);
        }
        send({ case: 'heartbeat', value: create(HeartbeatSchema) });
        return;
      case 'credit':
        link.window = Math.min(Math.max(body.value.executions ?? link.window, 0), 10_000);
        engine.dispatcher.creditReturned(agentId);
        return done(sequence);
      case 'drain':
        // The agent goes away: it finishes nothing early, and so nothing more is handed to it.
        link.paused = true;
        return done(sequence);
      case 'error':
        assertValid(ErrorSchema, body.value, 'protocol_violation', 'error.');
        return receiveError(sequence, body.value);
      case 'certificateRequest':
        return settle(sequence, issueCertificate(sequence, body.value));
      case 'tlsTrustStored':
        deps.certificates?.stored(body.value.version);
        return done(sequence);
      case 'channelMessage':
      case 'policy':
        return refuse(sequence, body.case === 'policy' ? 'policy' : 'channel_message');
      case undefined:
        return sequence > 0n ? done(sequence) : undefined;
      case 'hello':
      case 'challenge':
      case 'proof':
      case 'welcome':
      case 'command':
      case 'cancel':
      case 'sealed':
      case 'sessionToken':
      case 'commandKeys':
      case 'tlsTrust':
      case 'agentCertificate':
      case 'telemetryTerms':
        throw new ViworksError('protocol_violation', `${body.case}: does not belong here in the session.`);
    }
  }

  return {
    sessionId: facts.sessionId,
    link,
    get heardAt() {
      return heardAt;
    },
    send(body) {
      send(body);
    },
    look: telemetryCredit.look,
    receive(message) {
      heardAt = clock.monotonic();
      budget?.spend(heardAt, connection.receivedBytes);
      const { sequence, body } = message;
      if (!outbound.acknowledge(message.acknowledged)) {
        throw new ViworksError('protocol_violation', 'acknowledged: is beyond what was sent.');
      }
      const unnumbered = body.case === undefined || body.case === 'heartbeat' || body.case === 'error';
      if ((sequence > 0n || !unnumbered) && !inbound.receive(sequence)) {
        throw new ViworksError('protocol_violation', 'sequence: must count 1, 2, 3, … without a gap.');
      }
      dispatch(message);
      if (sequence > 0n && body.case === 'heartbeat') done(sequence);
    },
    drain(reason, reconnectAfterMs) {
      link.paused = true;
      const reconnectAfter = durationFromMs(reconnectAfterMs);
      signing.flush();
      send({ case: 'drain', value: create(DrainSchema, { reason, reconnectAfter }) });
    },
  };
}
