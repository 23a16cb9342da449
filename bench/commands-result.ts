import type { Facts } from './support/facts.ts';
import type { PeerName } from './support/peer.ts';

/** What a run of the benchmark of commands finds out, as data. Times are in milliseconds, sizes in bytes. */

export interface LifecycleSample {
  agents: number;
  /** Commands under way at once. */
  outstanding: number;
  /** Commands whose results are committed and acknowledged, in a second. */
  perSecond: number;
  /** From submit to the acknowledgement. */
  latency: number[];
  /** Microseconds of CPU time for each command. */
  cpu: { server: number; postgres: number; agents: number };
  /** Of the control plane, in memory. */
  resident: number;
}

export interface PacedSample {
  agents: number;
  perSecond: number;
  latency: number[];
}

export interface FanOutSample {
  agents: number;
  /** Until the command was durable, and until every result was. */
  submitMs: number;
  allMs: number;
}

export interface PeerSample {
  name: PeerName;
  jobs: number;
  addPerSecond: number;
  executePerSecond: number;
  /** Microseconds of CPU time for each job, added and executed. */
  cpu: { process: number; store: number };
  pacePerSecond: number;
  latency: number[];
  resident: number;
}

export interface CommandsResult {
  facts: Facts;
  redis: string | undefined;
  lifecycles: LifecycleSample[];
  paced: PacedSample[];
  fanOut: FanOutSample[];
  peers: PeerSample[];
}
