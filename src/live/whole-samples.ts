import { type JsonObject, toJson } from '@bufbuild/protobuf';
import { SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { readStoredSample } from '../protocol/stored-sample.ts';
import type { StoredSample } from '../storage/sample-rows.ts';
import { isNewer, type LatestSamples } from '../telemetry/latest.ts';
import type { Headline } from './board.ts';
import type { LiveSample } from './types.ts';

/** Adds to headlines what the samples say beside them. A sample is read once, for all who look at it. */
export function createWholeSamples({ latest }: { latest: Pick<LatestSamples, 'list'> }) {
  const read = new WeakMap<StoredSample, JsonObject>();

  function jsonOf(row: StoredSample): JsonObject {
    const known = read.get(row);
    if (known !== undefined) return known;
    const json = toJson(SampleSchema, readStoredSample(row.sample)) as JsonObject;
    read.set(row, json);
    return json;
  }

  return async (headlines: readonly Headline[]): Promise<LiveSample[]> => {
    const rows = await latest.list(headlines.map(({ agentId }) => agentId));
    const byAgent = new Map(rows.map((row) => [row.agentId, row]));
    return headlines.map((headline) => {
      const row = byAgent.get(headline.agentId);
      // What is kept elsewhere may lag behind a little.
      if (row === undefined || isNewer(headline, row)) return { headline, sample: undefined };
      // A newer one may have come meanwhile; then it is that one, as a whole.
      return { headline: row, sample: jsonOf(row) };
    });
  };
}
