import { randomBytes } from 'node:crypto';
import type { Alerts } from '../alerts/alerts.ts';
import type { Alert } from '../alerts/types.ts';
import type { Bus } from '../bus/bus.ts';
import { ViworksError } from '../errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import type { Agent } from '../registry/types.ts';
import type { StoredSample } from '../storage/sample-rows.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { createBoard } from './board.ts';
import { type Bell, createBell, createTurnstile } from './hint.ts';
import { createMirror, sameBut } from './mirror.ts';
import { looksAtAgents } from './selector.ts';
import { agentSource, alertSource, mostAtOnce, sampleSource } from './sources.ts';
import { type Source, type StreamRules, streamOf } from './stream.ts';
import { createTended } from './tended.ts';
import type { LiveCaller, LiveEvent, LiveRequest, LiveSample, LiveService } from './types.ts';
import { createWholeSamples } from './whole-samples.ts';

/** Streams of what agents measure, of agents and of alerts, to whoever may see them. */
export interface Live extends LiveService {
  stop(): Promise<void>;
}

export interface LiveDeps {
  bus: Pick<Bus, 'subscribeAny'>;
  /** All agents, or those of the ids that there are. */
  readAgents(agentIds?: readonly string[]): Promise<readonly Agent[]>;
  telemetry: Pick<Telemetry, 'onStored' | 'onForgotten' | 'latest'>;
  alerts: Pick<Alerts, 'onChanged' | 'list'>;
  log: Logger;
  metrics: Pick<Metrics, 'liveStreams' | 'liveSnapshots'>;
  settings: LiveSettings;
}

export interface LiveSettings {
  /** Streams that may be open at once, in all and of one token. */
  maxStreams: number;
  maxStreamsOfToken: number;
  /** What is remembered for those who come back or read slowly. */
  samples?: number;
  changes?: number;
  /** Milliseconds between two readings of the registry and of the alerts, while somebody looks. */
  everyMs?: number;
}

/** Agents in one event with whole samples, which are much larger. */
const mostWhole = 25;
/** Readers that look before the process does something else. */
const readersAtOnce = 16;
/** Alerts read at once. */
const pageSize = 1000;
const plainRules = { most: mostAtOnce, intervalMs: 0 };
const retryAfterMs = 5000;

export function createLive(deps: LiveDeps): Live {
  const { bus, readAgents, telemetry, log, metrics, settings } = deps;
  const { samples: capacity = 65_536, changes = 16_384, everyMs = 30_000 } = settings;
  const epoch = randomBytes(9).toString('base64url');
  const stopping = new AbortController();
  const board = createBoard(capacity);
  const agents = createMirror<Agent>({ capacity: changes, same: sameBut('lastSeenAt', 'updatedAt') });
  const alerts = createMirror<Alert>({
    capacity: changes,
    same: sameBut('updatedAt'),
    isOver: ({ state }) => state === 'resolved',
  });
  const agentsBell = createBell();
  const samplesBell = createBell();
  const alertsBell = createBell();
  const whole = createWholeSamples(telemetry);
  const turn = createTurnstile(readersAtOnce);
  const openOf = new Map<string, number>();
  let open = 0;

  const registry = createTended<Agent>({
    mirror: agents,
    keyOf: ({ agentId }) => agentId,
    async read(keys) {
      const { head } = board;
      const found = await readAgents(keys);
      if (keys !== undefined) return found;
      // As a whole: also what was measured before this process, and what agents are no more.
      const there = new Set(found.map(({ agentId }) => agentId));
      board.keep((agentId) => there.has(agentId), head);
      const missing = [...there].filter((agentId) => board.get(agentId) === undefined);
      if (missing.length > 0) board.seed(await telemetry.latest.list(missing));
      return found;
    },
    changed() {
      for (const bell of [agentsBell, samplesBell, alertsBell]) bell.ring();
    },
    log,
    what: 'agents',
    everyMs,
  });
  const book = createTended<Alert>({
    mirror: alerts,
    keyOf: ({ alertId }) => alertId,
    async read() {
      const found: Alert[] = [];
      for (let token: string | undefined; ; ) {
        const page = await deps.alerts.list({}, { size: pageSize, token });
        found.push(...page.items);
        token = page.nextToken;
        if (token === undefined) return found;
      }
    },
    changed: alertsBell.ring,
    log,
    what: 'alerts',
    everyMs,
  });

  const unsubscribe = [
    bus.subscribeAny('agent.changed', registry.heard),
    telemetry.onStored((stored: readonly StoredSample[]) => {
      board.put(stored);
      samplesBell.ring();
    }),
    telemetry.onForgotten(board.forget),
    deps.alerts.onChanged((changed, dropped) => {
      for (const alert of changed) {
        book.told(alert.alertId);
        alerts.put(alert.alertId, alert);
      }
      for (const alertId of dropped) {
        book.told(alertId);
        alerts.put(alertId, undefined);
      }
      alertsBell.ring();
    }),
  ];

  /** @throws rate_limited */
  function admit({ tokenId, subject }: LiveCaller, stream: string): () => void {
    const client = tokenId ?? subject;
    const mine = openOf.get(client) ?? 0;
    const { maxStreams, maxStreamsOfToken } = settings;
    if (open >= maxStreams) throw tooMany(`${maxStreams} live streams are open`);
    if (mine >= maxStreamsOfToken) throw tooMany(`${maxStreamsOfToken} live streams of this token are open`);
    open += 1;
    openOf.set(client, mine + 1);
    metrics.liveStreams.inc({ stream });
    return () => {
      open -= 1;
      const left = (openOf.get(client) ?? 1) - 1;
      if (left === 0) openOf.delete(client);
      else openOf.set(client, left);
      metrics.liveStreams.dec({ stream });
    };
  }

  /** Everything of a stream that is not about what it tells. */
  async function* run<T, P>(
    stream: string,
    caller: LiveCaller,
    bell: Bell,
    tended: readonly { open(): Promise<() => void> }[],
    source: Source<T, P>,
    request: LiveRequest,
    rules: Pick<StreamRules, 'most' | 'intervalMs'>,
    given: AbortSignal,
  ): AsyncGenerator<LiveEvent<T> & { skipped: number }> {
    const ends = [admit(caller, stream)];
    const signal = AbortSignal.any([given, stopping.signal]);
    const ear = bell.listen(signal);
    ends.push(ear.close);
    try {
      for (const each of tended) ends.push(await each.open());
      const began: StreamRules['began'] = (because) => metrics.liveSnapshots.inc({ because });
      yield* streamOf(source, request.cursor, { ...rules, turn, began }, ear, signal);
    } finally {
      for (const end of ends) end();
    }
  }

  return {
    async *telemetry(caller, request, signal) {
      const { selector = {}, sites, full = false, intervalMs = 0 } = request;
      const most = full ? mostWhole : mostAtOnce;
      const source = sampleSource(epoch, board, agents, most, selector, sites);
      const rules = { most, intervalMs };
      const events = run('telemetry', caller, samplesBell, [registry], source, request, rules, signal);
      for await (const event of events) {
        const shown: readonly LiveSample[] = full
          ? await whole(event.shown)
          : event.shown.map((headline) => ({ headline, sample: undefined }));
        yield { ...event, shown };
      }
    },

    agents(caller, request, signal) {
      const source = agentSource(epoch, agents, request.selector ?? {}, request.sites);
      return run('agents', caller, agentsBell, [registry], source, request, plainRules, signal);
    },

    alerts(caller, request, signal) {
      const source = alertSource(epoch, alerts, agents, request);
      const needed = looksAtAgents(request.selector ?? {}) ? [book, registry] : [book];
      return run('alerts', caller, alertsBell, needed, source, request, plainRules, signal);
    },

    async stop() {
      for (const end of unsubscribe) end();
      stopping.abort();
      await registry.stop();
      await book.stop();
    },
  };
}

const tooMany = (what: string): ViworksError =>
  new ViworksError('rate_limited', `${what}, which is as many as may be.`, { retryAfterMs });
