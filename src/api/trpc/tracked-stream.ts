import { isTrackedEnvelope, type TrackedEnvelope, tracked } from '@trpc/server';
import { z } from 'zod';

/** The output schema of a subscription: each event is checked as it passes, and keeps its id. */
export function trackedStream<Schema extends z.ZodType>(event: Schema) {
  type Input = AsyncIterable<TrackedEnvelope<z.input<Schema>>>;
  return z
    .custom<Input>((value) => typeof value === 'object' && value !== null && Symbol.asyncIterator in value)
    .transform(async function* (events): AsyncGenerator<TrackedEnvelope<z.output<Schema>>, void, unknown> {
      for await (const envelope of events) {
        if (!isTrackedEnvelope(envelope)) throw new Error('a subscription yields tracked events');
        const [id, data] = envelope;
        yield tracked(id, event.parse(data));
      }
    });
}
