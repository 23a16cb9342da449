import type { TransportName } from './agents-process.ts';
import type { Facts } from './support/facts.ts';

/** What a run of the round trip finds out, as data. */

/**
 * How commands come in. `api`: tRPC over HTTP, in batches as the client makes them; `watched`: the same with
 * one live subscription for each command; `core`: straight into the engine, in the server's process.
 */
export type Path = 'core' | 'api' | 'watched';

export interface LatencySamples {
  /** `submit`: until the submit has returned, so until the command is durable. */
  path: 'core' | 'api' | 'submit';
  transport: TransportName;
  /** Milliseconds from the submit to the result, each round in the order of measuring. */
  rounds: number[][];
}

export interface RateSample {
  path: Path;
  transport: TransportName;
  agents: number;
  /** Commands whose results are committed and acknowledged, in a second. */
  perSecond: number;
  /** Microseconds of CPU time for each command. */
  cpu: Record<'server' | 'agents' | 'postgres' | 'load', number>;
}

export interface AgentMemorySample {
  transport: TransportName;
  agents: number;
  /** Bytes for each connected agent. */
  resident: number;
  heap: number;
}

export interface RoundtripResult {
  facts: Facts;
  idleBytes: number;
  latency: LatencySamples[];
  rates: RateSample[];
  agentMemory: AgentMemorySample[];
}
