import { fromBinary } from '@bufbuild/protobuf';
import { type Sample, SampleSchema, type Telemetry } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { samplesOf } from '../../src/protocol/unread-telemetry.ts';

/** The samples of a TELEMETRY, each as it is in it. */
export function serialisedSamples(message: Telemetry): Uint8Array[] {
  const { bytes, places } = samplesOf(message);
  return Array.from(
    { length: places.length / 2 },
    (_, n) => new Uint8Array(bytes.subarray(places[2 * n], places[2 * n + 1])),
  );
}

/** The samples of a TELEMETRY that came over a connection. */
export const readSamples = (message: Telemetry): Sample[] =>
  serialisedSamples(message).map((bytes) => fromBinary(SampleSchema, bytes));
