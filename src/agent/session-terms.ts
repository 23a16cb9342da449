import type { Welcome } from '#gen/viworks/agent/v1/handshake_pb.js';
import type { BackoffPolicy } from '../lib/backoff.ts';
import { positiveMs } from '../protocol/wire-errors.ts';
import { defaultReconnect } from './reconnect.ts';

/** Where the server has not said another. */
export const defaultTelemetryIntervalMs = 30_000;

/** What WELCOME said. */
export interface SessionTerms {
  sessionId: string;
  epoch: bigint;
  telemetryIntervalMs: number;
  /** TELEMETRY envelopes that may be unacknowledged at once. */
  telemetryCredit: number;
  /** Bytes of output that may be unacknowledged at once. */
  outputCreditBytes: number;
  reconnect: BackoffPolicy;
  /** The server wants the agent to make itself a new key. */
  rotateKey: boolean;
  /** The next key, which the server accepted; empty where it did not. */
  acceptedKeyId: string;
  /** The agent may ask for a certificate. */
  issuesCertificates: boolean;
}

export function termsOf(welcome: Welcome): SessionTerms {
  const { sessionId, epoch, limits, rotateKey, acceptedKeyId, issuesCertificates } = welcome;
  return {
    sessionId,
    epoch,
    telemetryIntervalMs: positiveMs(limits?.telemetryInterval, defaultTelemetryIntervalMs),
    telemetryCredit: limits?.telemetryCredit || 1,
    outputCreditBytes: limits?.outputCreditBytes ?? 0,
    reconnect: {
      baseMs: positiveMs(limits?.reconnectBase, defaultReconnect.baseMs),
      maximumMs: positiveMs(limits?.reconnectMaximum, defaultReconnect.maximumMs),
    },
    rotateKey,
    acceptedKeyId,
    issuesCertificates,
  };
}
