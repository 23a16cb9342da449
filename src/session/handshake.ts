import { create } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type CommandKeys,
  type ExecutionAccount,
  type HelloOffer,
  LimitsSchema,
  ExecutionAccount_Phase as Phase,
  type Welcome,
  WelcomeSchema,
} from '#gen/viworks/agent/v1/handshake_pb.js';
import type { Account } from '../commands/executions/state.ts';
import type { GrantedToken } from '../identity/session-tokens.ts';
import { storableText } from '../lib/text.ts';
import type { SessionOpening } from '../storage/sessions.ts';
import { firstTelemetryCredit } from './telemetry-credit.ts';

/** The server's terms, from the configuration. */
export interface SessionLimits {
  heartbeatIntervalMs: number;
  telemetryIntervalMs: number;
  reconnectBaseMs: number;
  reconnectMaximumMs: number;
}

/** Bytes of output that may be unacknowledged at once. */
const outputCreditBytes = 256 * 1024;

/** What WELCOME says of one session alone. */
export interface WelcomeFacts {
  sessionId: string;
  epoch: number;
  signedCommandKeys: CommandKeys;
  token: GrantedToken;
  /** Empty where the session is not sealed. */
  confirmation: Uint8Array;
  maximumMessageBytes: number;
}

export function welcome(facts: WelcomeFacts, limits: SessionLimits): Welcome {
  const { sessionId, epoch, signedCommandKeys, token, confirmation, maximumMessageBytes } = facts;
  return create(WelcomeSchema, {
    signedCommandKeys,
    sessionId,
    epoch: BigInt(epoch),
    sessionToken: token.token,
    sessionTokenExpiresAt: timestampFromMs(token.expiresAt),
    confirmation,
    limits: create(LimitsSchema, {
      heartbeatInterval: durationFromMs(limits.heartbeatIntervalMs),
      telemetryInterval: durationFromMs(limits.telemetryIntervalMs),
      reconnectBase: durationFromMs(limits.reconnectBaseMs),
      reconnectMaximum: durationFromMs(limits.reconnectMaximumMs),
      maximumMessageBytes,
      telemetryCredit: firstTelemetryCredit,
      outputCreditBytes,
    }),
  });
}

const phases: Record<Phase, Account['phase']> = {
  [Phase.UNSPECIFIED]: 'unknown',
  [Phase.RUNNING]: 'running',
  [Phase.FINISHED]: 'finished',
  [Phase.UNKNOWN]: 'unknown',
};

export function accountOf(lines: readonly ExecutionAccount[]): Map<string, Account> {
  return new Map(
    lines.map((line) => [line.executionId, { phase: phases[line.phase], attempt: line.attempt }]),
  );
}

/** What the database learns of a session that opens. */
export function openingOf(
  offer: HelloOffer,
  session: Pick<
    SessionOpening,
    'sessionId' | 'startedAt' | 'transport' | 'remoteAddress' | 'tls' | 'keysSince'
  >,
): SessionOpening {
  const { host } = offer;
  return {
    ...session,
    agentId: offer.agentId,
    incarnation: offer.incarnation,
    capabilities: offer.capabilities,
    software: storableText(offer.software),
    hostname: storableText(host?.hostname ?? ''),
    os: storableText(host?.os ?? ''),
    kernel: storableText(host?.kernel ?? ''),
    architecture: storableText(host?.architecture ?? ''),
    containerEngine: storableText(host?.containerEngine ?? ''),
    generation: generationOf(offer),
  };
}

/** What no database would take was never handed out, and is refused as any that is wrong. */
export const generationOf = ({ generation }: Pick<HelloOffer, 'generation'>): number =>
  Math.min(Number(generation), Number.MAX_SAFE_INTEGER);
