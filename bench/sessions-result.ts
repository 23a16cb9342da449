import type { LifecycleSample } from './commands-result.ts';
import type { Facts } from './support/facts.ts';

/** What a run of the benchmark of sessions finds out, as data. Times are in milliseconds, sizes in bytes. */

export interface HandshakeSample {
  /** The session is sealed. */
  secured: boolean;
  agents: number;
  /** Sessions opened in a second, a hundred dialling at once. */
  perSecond: number;
  /** Microseconds of CPU time for each, the connection included. */
  cpu: { server: number; postgres: number; agents: number };
}

/** What an agent has besides its connection. */
export const sessionKinds = ['clear text', 'sealed', 'TLS', 'mutual TLS', 'mutual TLS, sealed'] as const;
export type SessionKind = (typeof sessionKinds)[number];

/** By which a fresh control plane grew for each agent, after a full collection. */
export interface MemorySample {
  kind: SessionKind;
  agents: number;
  residentEach: number;
  heapEach: number;
}

export interface StormSample {
  agents: number;
  stayers: number;
  /** From the break until each agent had its session again. */
  backMs: number[];
  /** Attempts that were turned away or failed. */
  refusals: number;
  /** Of commands to those who stayed, before the storm and in it, from submit to acknowledged result. */
  quiet: number[];
  meanwhile: number[];
}

/** Commands to agents that verify and seal, or do neither. */
export interface SecuritySample extends LifecycleSample {
  secured: boolean;
}

export interface SessionsResult {
  facts: Facts;
  handshakes: HandshakeSample[];
  memory: MemorySample[];
  storms: StormSample[];
  commands: SecuritySample[];
}
