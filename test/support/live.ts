import { onTestFinished } from 'vitest';
import { silentLogger } from '../../src/lib/logger.ts';
import { createLive, type Live, type LiveSettings } from '../../src/live/live.ts';
import { createAgentReader } from '../../src/registry/agents.ts';
import { alertsOn, watched } from './alerts.ts';
import { startApi, type TestApi } from './api-server.ts';
import type { Core } from './app-core.ts';
import { ownCore } from './app-core-own.ts';
import { boot, frame, sampleAt } from './telemetry.ts';

/** Live streams over a real core, behind the real API. */
export async function liveRig(settings: Partial<LiveSettings> = {}) {
  const core = await (await ownCore()).start();
  const alerts = alertsOn(core);
  const live = liveOn(core, alerts, settings);
  let pulled = 0;
  const counted: Live = {
    ...live,
    async *telemetry(...args) {
      for await (const event of live.telemetry(...args)) {
        pulled += event.shown.length;
        yield event;
      }
    },
  };
  const api = await startApi({ live: counted });
  onTestFinished(() => api[Symbol.asyncDispose]());
  const numbers = new Map<string, number>();
  return {
    core,
    alerts,
    live,
    api,
    /** Samples that readers were handed, however far those came. */
    pulled: () => pulled,
    /** Writes agents down that are online. */
    async agents(site: string, ...agentIds: string[]) {
      for (const agentId of agentIds) {
        await watched(core, agentId, site);
        core.bus.publish('agent.changed', agentId);
      }
    },
    /** The agent measures so many times. */
    async measure(agentId: string, cpu: number, count = 1) {
      const before = numbers.get(agentId) ?? 0;
      numbers.set(agentId, before + count);
      const at = core.clock.now();
      const samples = Array.from({ length: count }, (_, n) =>
        sampleAt(before + n + 1, at + before + n, n === count - 1 ? cpu : 1),
      );
      await core.telemetry.ingest({ agentId, bootId: boot() }, frame(...samples));
    },
  };
}

export type LiveRig = Awaited<ReturnType<typeof liveRig>>;

export function liveOn(
  core: Core,
  alerts: ReturnType<typeof alertsOn>,
  settings: Partial<LiveSettings>,
): Live {
  const live = createLive({
    bus: core.bus,
    readAgents: createAgentReader(core.database),
    telemetry: core.telemetry,
    alerts,
    log: silentLogger,
    metrics: core.metrics,
    settings: { maxStreams: 100, maxStreamsOfToken: 100, ...settings },
  });
  onTestFinished(() => live.stop());
  return live;
}

export interface Heard<T> {
  events: T[];
  /** The ids of the events. */
  ids: string[];
  /** The first event for which this holds, of those that came already and those that come. */
  until(wanted: (event: T) => boolean): Promise<T>;
  /** Rejected when the stream failed. */
  ended: Promise<void>;
  close(): void;
}

interface Handlers<T> {
  onData(event: { id: string; data: T }): void;
  onError(error: unknown): void;
  onComplete(): void;
}

/** Keeps what a subscription says. */
export function hear<T>(subscribe: (handlers: Handlers<T>) => { unsubscribe(): void }): Heard<T> {
  const events: T[] = [];
  const ids: string[] = [];
  const ended = Promise.withResolvers<void>();
  ended.promise.catch(() => {});
  let came = Promise.withResolvers<void>();
  const subscription = subscribe({
    onData({ id, data }) {
      events.push(data);
      ids.push(id);
      came.resolve();
      came = Promise.withResolvers();
    },
    onError: ended.reject,
    onComplete: ended.resolve,
  });
  onTestFinished(() => subscription.unsubscribe());
  return {
    events,
    ids,
    async until(wanted) {
      for (let at = 0; ; ) {
        const found = events.slice(at).find(wanted);
        if (found !== undefined) return found;
        at = events.length;
        await Promise.race([came.promise, ended.promise]);
      }
    },
    ended: ended.promise,
    close: () => subscription.unsubscribe(),
  };
}

/** What a viewer of everything hears of what agents measure. */
export async function hearSamples(
  api: TestApi,
  input: Parameters<Awaited<ReturnType<TestApi['trpc']>>['live']['telemetry']['subscribe']>[0] = {},
) {
  const client = await api.trpc('viewer');
  return hear<SampleEvent>((handlers) =>
    client.live.telemetry.subscribe({ intervalMs: 0, ...input }, handlers),
  );
}

export interface SampleEvent {
  snapshot?: { part: number; parts: number; because: string } | undefined;
  samples: { agentId: string; number: number; cpu?: number }[];
  gone: string[];
  skipped: number;
}
