import { z } from 'zod';
import { alertStates, severities } from '../../alerts/types.ts';
import type { Headline } from '../../live/board.ts';
import type { LiveEvent, LiveSamples } from '../../live/types.ts';
import { telemetryMetrics } from '../../storage/telemetry-metrics.ts';
import { type AgentView, agentStatusSchema, agentView } from './agents.ts';
import { type AlertView, alertView } from './alerts.ts';
import { agentIdSchema, anyOf, labelsSchema, siteSchema, timeView } from './common.ts';
import { nameSchema } from './templates.ts';

/** Live streams of telemetry, agents and alerts. */

const word = z.string().min(1).max(64);

/** Every part that is set must match; of several values any, of labels and capabilities all. */
const selectorInput = z.strictObject({
  agents: anyOf(agentIdSchema),
  sites: anyOf(siteSchema),
  labels: labelsSchema.optional(),
  capabilities: anyOf(word),
  os: anyOf(word),
  statuses: anyOf(agentStatusSchema),
});

const shared = {
  /** Absent: all agents. */
  selector: selectorInput.optional(),
  /** The id of the last event of a stream that broke; tRPC’s clients send it themselves. */
  lastEventId: z.string().max(128).nullish(),
};

export const liveAgentsInput = z.strictObject(shared).prefault({});
export const liveTelemetryInput = z
  .strictObject({
    ...shared,
    /** Whole samples, not their headlines alone. */
    full: z.boolean().default(false),
    /** Milliseconds at least between two events. */
    intervalMs: z.int().min(0).max(60_000).default(100),
  })
  .prefault({});
export const liveAlertsInput = z
  .strictObject({
    ...shared,
    /** Absent: all, as they change; at first those that are not resolved. */
    states: anyOf(z.enum(alertStates)),
    rule: nameSchema.optional(),
    minSeverity: z.enum(severities).optional(),
  })
  .prefault({});

/** Set where an event is a part of what is true now; the first part replaces all that was told before. */
const snapshotSchema = z
  .strictObject({
    part: z.int(),
    parts: z.int(),
    /** It begins; it cannot go on where the one before ended; the reader was too slow for all changes. */
    because: z.enum(['start', 'resume', 'behind']),
  })
  .optional();

type Metric = (typeof telemetryMetrics)[number];

/** The newest sample of an agent: percent in use, load, and bytes a second; absent what was not measured. */
export type LiveSampleView = { [metric in Metric]?: number } & {
  agentId: string;
  /** When it was taken, and when it came. */
  at: string;
  receivedAt: string;
  /** Counts the samples of one boot of the agent. */
  number: number;
  /** It waited at the agent before it was sent. */
  late: boolean;
  /** The agent’s clock is wrong, and `at` is the server’s time. */
  skewed: boolean;
  /** All of it, as viworks.agent.v1.Sample in JSON, where that was asked for. */
  sample?: Record<string, unknown>;
};

/**
 * What is in an event is made once for all its readers, by the functions below. To check it again for each of them
 * would cost more than all else, so that here only the frame is.
 */
const made = <T>() => z.array(z.custom<T>());
const goneSchema = z.array(z.string());

export const liveTelemetryOutput = z.strictObject({
  snapshot: snapshotSchema,
  samples: made<LiveSampleView>(),
  /** Agents that the stream sees no more. */
  gone: goneSchema,
  /** Samples since the event before that were left out because a newer one of the same agent is told. */
  skipped: z.int(),
});
export const liveAgentsOutput = z.strictObject({
  snapshot: snapshotSchema,
  agents: made<AgentView>(),
  gone: goneSchema,
});
export const liveAlertsOutput = z.strictObject({
  snapshot: snapshotSchema,
  alerts: made<AlertView>(),
  /** Alerts that ended without having fired, or that the stream sees no more. */
  gone: goneSchema,
});

/** Remembers what it made of a thing, for as long as the thing is there. */
function once<T extends object, View>(make: (thing: T) => View): (thing: T) => View {
  const known = new WeakMap<T, View>();
  return (thing) => {
    const before = known.get(thing);
    if (before !== undefined) return before;
    const view = make(thing);
    known.set(thing, view);
    return view;
  };
}

/** For one server: what it makes is shared by all its streams. */
export function createLiveViews() {
  const agent = once(agentView);
  const alert = once(alertView);
  const headline = once(headlineView);
  return {
    agents: ({ snapshot, shown, gone }: LiveEvent<Parameters<typeof agentView>[0]>) => ({
      snapshot,
      agents: shown.map(agent),
      gone: [...gone],
    }),
    alerts: ({ snapshot, shown, gone }: LiveEvent<Parameters<typeof alertView>[0]>) => ({
      snapshot,
      alerts: shown.map(alert),
      gone: [...gone],
    }),
    telemetry: ({ snapshot, shown, gone, skipped }: LiveSamples) => ({
      snapshot,
      samples: shown.map(({ headline: of, sample }) =>
        sample === undefined ? headline(of) : { ...headline(of), sample },
      ),
      gone: [...gone],
      skipped,
    }),
  };
}

function headlineView(headline: Headline): LiveSampleView {
  const view: LiveSampleView = {
    agentId: headline.agentId,
    at: timeView(headline.at),
    receivedAt: timeView(headline.receivedAt),
    number: headline.number,
    late: headline.late,
    skewed: headline.skewed,
  };
  for (const metric of telemetryMetrics) {
    const value = headline[metric];
    if (value !== null) view[metric] = value;
  }
  return view;
}
