import { tracked } from '@trpc/server';
import { ViworksError } from '../../errors.ts';
import type { Actor } from '../../identity/types.ts';
import {
  createLiveViews,
  liveAgentsInput,
  liveAgentsOutput,
  liveAlertsInput,
  liveAlertsOutput,
  liveTelemetryInput,
  liveTelemetryOutput,
} from '../schemas/live.ts';
import { trackedStream } from './tracked-stream.ts';
import { type Context, procedure, router } from './trpc.ts';

/** First what is true now, then what changes, without an end; a stream that broke goes on after its last event. */
export function liveRouter() {
  const views = createLiveViews();
  return router({
    /** The newest sample of each agent. A slow reader gets the newest, and how many it did not get. */
    telemetry: procedure
      .input(liveTelemetryInput)
      .output(trackedStream(liveTelemetryOutput))
      .subscription(async function* ({ ctx, input: { lastEventId, ...input }, signal }) {
        const request = { ...input, cursor: lastEventId || undefined };
        const events = standing(ctx, signal, (ended) => ctx.core.live.telemetry(ctx.actor, request, ended));
        for await (const event of events) yield tracked(event.cursor, views.telemetry(event));
      }),

    /** Agents as they come, go and change. */
    agents: procedure
      .input(liveAgentsInput)
      .output(trackedStream(liveAgentsOutput))
      .subscription(async function* ({ ctx, input: { lastEventId, ...input }, signal }) {
        const request = { ...input, cursor: lastEventId || undefined };
        const events = standing(ctx, signal, (ended) => ctx.core.live.agents(ctx.actor, request, ended));
        for await (const event of events) yield tracked(event.cursor, views.agents(event));
      }),

    /** Alerts as they begin, change and end. */
    alerts: procedure
      .input(liveAlertsInput)
      .output(trackedStream(liveAlertsOutput))
      .subscription(async function* ({ ctx, input: { lastEventId, ...input }, signal }) {
        const request = { ...input, cursor: lastEventId || undefined };
        const events = standing(ctx, signal, (ended) => ctx.core.live.alerts(ctx.actor, request, ended));
        for await (const event of events) yield tracked(event.cursor, views.alerts(event));
      }),
  });
}

/** Ends a stream with its caller, with the caller's token, and with the server, and says which of these it was. */
async function* standing<E>(
  ctx: Context & { actor: Actor },
  signal: AbortSignal | undefined,
  open: (ended: AbortSignal) => AsyncIterable<E>,
): AsyncGenerator<E, void> {
  const watched = ctx.watchStanding(ctx.actor);
  try {
    const ended = AbortSignal.any([ctx.stopping, watched.signal, ...(signal ? [signal] : [])]);
    yield* open(ended);
    watched.signal.throwIfAborted();
  } finally {
    watched.end();
  }
  if (ctx.stopping.aborted) throw new ViworksError('draining', 'The server stops; connect again.');
}
