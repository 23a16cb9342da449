import type { ExecutionState } from '../commands/types.ts';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { version } from '../lib/version.ts';
import type { AgentStatus } from '../registry/types.ts';
import type { HealthSource, ServingStatus } from './grpc/health.ts';
import type { ComponentHealth, HealthReport, HealthReporter } from './health-report.ts';

/** Watches the parts that the service cannot do without, and answers how it is. */
export interface HealthMonitor extends HealthReporter {
  /** What load balancers ask over gRPC: the whole server under the empty name, and each service. */
  sourceFor(services: readonly string[]): HealthSource;
  start(): void;
  /** From now on it does not serve; watchers are told. */
  stop(): void;
}

export interface HealthMonitorDeps {
  /** Rejects when the database does not answer. */
  pingDatabase(): Promise<unknown>;
  countAgents(): Promise<{ status: AgentStatus; count: number }[]>;
  countExecutions(): Promise<{ state: string; count: number }[]>;
  clock: Clock;
  intervalMs: number;
}

/** A database that takes longer to answer is as good as away. */
const answerWithinMs = 2000;
/** Milliseconds for which a report is good: probes need no token, and however many there are must cost nothing. */
const reportForMs = 500;

export function createHealthMonitor(deps: HealthMonitorDeps): HealthMonitor {
  const { clock } = deps;
  const startedAt = clock.monotonic();
  const watchers = new Set<() => void>();
  let serving = false;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  /** The report of now, or the one that is made. */
  let latest: Promise<HealthReport> | undefined;

  async function database(): Promise<ComponentHealth> {
    try {
      await within(deps.pingDatabase(), answerWithinMs);
      return { name: 'database', status: 'ok', detail: '' };
    } catch (error) {
      return { name: 'database', status: 'down', detail: ViworksError.from(error).message };
    }
  }

  function set(now: boolean): void {
    if (now === serving) return;
    serving = now;
    for (const changed of watchers) changed();
  }

  async function look(): Promise<ComponentHealth[]> {
    const components = [await database()];
    if (stopped) components.push({ name: 'server', status: 'down', detail: 'The server is stopping.' });
    set(!stopped && components.every((component) => component.status === 'ok'));
    return components;
  }

  async function makeReport(): Promise<HealthReport> {
    const components = await look();
    const status = components.every((component) => component.status === 'ok') ? 'ok' : 'degraded';
    let agents: Partial<Record<AgentStatus, number>> = {};
    const executions: Partial<Record<ExecutionState, number>> = {};
    if (components[0]?.status === 'ok') {
      agents = { online: 0, degraded: 0, offline: 0, maintenance: 0, held: 0, revoked: 0 };
      for (const row of await deps.countAgents()) agents[row.status] = row.count;
      for (const row of await deps.countExecutions()) executions[row.state as ExecutionState] = row.count;
    }
    return {
      status,
      version,
      uptimeMs: Math.round(clock.monotonic() - startedAt),
      components,
      agents,
      executions,
    };
  }

  return {
    report() {
      if (latest === undefined) {
        const report = makeReport();
        latest = report;
        const forget = (): void => {
          if (latest === report) latest = undefined;
        };
        report.then(() => setTimeout(forget, reportForMs).unref(), forget);
      }
      return latest;
    },
    sourceFor: (services) => ({
      services: ['', ...services],
      check(service): ServingStatus | undefined {
        if (service !== '' && !services.includes(service)) return undefined;
        return serving ? 'serving' : 'not_serving';
      },
      subscribe(changed) {
        watchers.add(changed);
        return () => watchers.delete(changed);
      },
    }),
    start() {
      set(true);
      timer ??= setInterval(() => void look(), deps.intervalMs);
    },
    stop() {
      stopped = true;
      latest = undefined;
      clearInterval(timer);
      set(false);
    },
  };
}

async function within<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new ViworksError('database_unavailable', `The database did not answer within ${ms} ms.`);
    timer = setTimeout(() => reject(error), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
