import { toBinary } from '@bufbuild/protobuf';
import { type Telemetry, TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';

/** Of field 1, `samples`, with a length before the value. */
const sampleTag = 0x0a;

/** Each sample of an envelope, serialised. They share one buffer: to make one for each takes longer than to fill it. */
export function encodeSamples(message: Telemetry): Uint8Array[] {
  const bytes = toBinary(TelemetrySchema, message);
  const samples: Uint8Array[] = [];
  for (let at = 0; samples.length < message.samples.length; ) {
    // Known fields come first, and this is the first of them.
    if (bytes[at] !== sampleTag) throw new TypeError('not a sample');
    let length = 0;
    let next = 0x80;
    at++;
    for (let shift = 0; next >= 0x80; shift += 7) {
      next = bytes[at++] ?? 0;
      length |= (next & 0x7f) << shift;
    }
    samples.push(bytes.subarray(at, at + length));
    at += length;
  }
  return samples;
}
