import type { ExecutionState } from '../commands/types.ts';
import type { AgentStatus } from '../registry/types.ts';

/** The health of the whole control plane, as every surface shows it. */
export interface HealthReport {
  /** `ok` only if every component is. */
  status: 'ok' | 'degraded';
  version: string;
  uptimeMs: number;
  components: ComponentHealth[];
  /** By status; empty where it is not known, since the database does not answer. */
  agents: Partial<Record<AgentStatus, number>>;
  /** Executions that are not final; states with none, and all where it is not known, are absent. */
  executions: Partial<Record<ExecutionState, number>>;
}

export interface ComponentHealth {
  name: string;
  status: 'ok' | 'down';
  /** What is wrong, in words that are safe to show to everybody; empty if nothing is. */
  detail: string;
}

export interface HealthReporter {
  report(): Promise<HealthReport>;
}
