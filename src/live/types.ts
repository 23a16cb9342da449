import type { JsonObject } from '@bufbuild/protobuf';
import type { Alert, AlertState, Severity } from '../alerts/types.ts';
import type { Actor } from '../identity/types.ts';
import type { Agent } from '../registry/types.ts';
import type { Headline } from './board.ts';
import type { LiveSelector } from './selector.ts';

/**
 * Live streams: what is true now, then what changes. A reader takes events when it can; nothing waits for it. Who is too
 * slow is told how things are now, in place of what it did not read.
 */

/** The newest sample of an agent. */
export interface LiveSample {
  headline: Headline;
  /** All of it, as viworks.agent.v1.Sample in JSON, where that was asked for. */
  sample: JsonObject | undefined;
}

/** Why a stream says how things are, and not what changed. */
export type SnapshotReason =
  /** It begins. */
  | 'start'
  /** It was to go on where another one ended, and that is too long ago or of another process. */
  | 'resume'
  /** More changed than is remembered while the reader read. */
  | 'behind';

export interface LiveEvent<T> {
  /** Where to go on behind this event. */
  cursor: string;
  /** Set where the event is a part of what is true now; the first part replaces all that was told before. */
  snapshot: { part: number; parts: number; because: SnapshotReason } | undefined;
  /** Each thing at most once. */
  shown: readonly T[];
  /** Ids of what there is no more, or the reader sees no more. */
  gone: readonly string[];
}

export interface LiveSamples extends LiveEvent<LiveSample> {
  /** Samples since the event before that were left out because a newer one of the same agent is told. */
  skipped: number;
}

export interface LiveRequest {
  /** Absent: all agents. */
  selector?: LiveSelector | undefined;
  /** `cursor` of the last event of a stream that broke. Whatever else it is, the stream begins anew. */
  cursor?: string | undefined;
  /** Sites that the caller is limited to; set by what it may see. */
  sites?: readonly string[] | undefined;
}

export interface LiveTelemetryRequest extends LiveRequest {
  /** Whole samples, not their headlines alone. */
  full?: boolean | undefined;
  /** Milliseconds at least between two events. */
  intervalMs?: number | undefined;
}

export interface LiveAlertsRequest extends LiveRequest {
  /** Absent: all, as they change; at first those that are not resolved. */
  states?: readonly AlertState[] | undefined;
  rule?: string | undefined;
  minSeverity?: Severity | undefined;
}

/** Who asks, for the number of streams that it may have. */
export type LiveCaller = Pick<Actor, 'subject' | 'tokenId'>;

/** What the API calls. A stream ends with its signal, and never by itself. */
export interface LiveService {
  /** @throws rate_limited where too many are open, database_unavailable */
  telemetry(
    caller: LiveCaller,
    request: LiveTelemetryRequest,
    signal: AbortSignal,
  ): AsyncGenerator<LiveSamples>;
  /** Agents as the registry shows them. @throws as telemetry */
  agents(caller: LiveCaller, request: LiveRequest, signal: AbortSignal): AsyncGenerator<LiveEvent<Agent>>;
  /** @throws as telemetry */
  alerts(
    caller: LiveCaller,
    request: LiveAlertsRequest,
    signal: AbortSignal,
  ): AsyncGenerator<LiveEvent<Alert>>;
}
