import { fromBinary } from '@bufbuild/protobuf';
import type { Duration, Timestamp } from '@bufbuild/protobuf/wkt';
import { type Sample, SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';

/** Seconds of the years 1 and 9999, of which protobuf knows times, and of its longest duration. */
const [firstSecond, lastSecond, longest] = [-62_135_596_800n, 253_402_300_799n, 315_576_000_000n];
const nanosPerSecond = 1e9;

const isFraction = (nanos: number): boolean => nanos >= 0 && nanos < nanosPerSecond;

/** Not in the very last second, which may be rounded into the year 10000. */
const isTime = ({ seconds, nanos }: Timestamp): boolean =>
  seconds >= firstSecond && seconds < lastSecond && isFraction(nanos);

const isUptime = ({ seconds, nanos }: Duration): boolean =>
  seconds >= 0n && seconds <= longest && isFraction(nanos);

/**
 * Reads a sample that was stored as it came. A time and an uptime that there are none of are left out: in JSON they could
 * not be said, and one agent whose clock is broken would keep all others from being told.
 */
export function readStoredSample(bytes: Uint8Array): Sample {
  const sample = fromBinary(SampleSchema, bytes);
  if (sample.takenAt !== undefined && !isTime(sample.takenAt)) delete sample.takenAt;
  if (sample.uptime !== undefined && !isUptime(sample.uptime)) delete sample.uptime;
  return sample;
}
