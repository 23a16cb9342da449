import { ViworksError } from '../errors.ts';
import type { ShownCertificate } from '../protocol/certificates/client-check.ts';
import type { Connection } from '../protocol/connection.ts';
import type { Session } from './session.ts';

/** One connection and how far it has come. */
export interface Peer {
  connection: Connection;
  since: number;
  session: Session | undefined;
  /** WELCOME was said: the session is open. */
  welcomed: boolean;
  degraded: boolean;
  /** On the monotonic clock: when the token of the session is followed by another. */
  renewTokenAt: number;
  /** What the agent showed, or got since. */
  certificate: ShownCertificate | undefined;
  /** Ends it; the agent is told the error, if there is one. */
  end(error: ViworksError | undefined): void;
}

/** Has the agent come back at once, with all that it runs. */
export function sendBack(peer: Peer, reason: string): void {
  if (peer.session === undefined) return;
  if (peer.welcomed) peer.session.drain(reason, 0);
  peer.end(peer.welcomed ? undefined : new ViworksError('draining', 'The agent has to connect again.'));
}
