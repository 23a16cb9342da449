import { toBinary } from '@bufbuild/protobuf';
import { type Sample, SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';

/** What may be long, and matters least first. */
const parts = ['containers', 'services', 'disks', 'networks'] as const;

/** Leaves out, and names in `unread`, what would make the sample larger than the bytes: it would end each session. */
export function fitted(sample: Sample, bytes: number): Sample {
  let fitting = sample;
  for (const part of parts) {
    if (toBinary(SampleSchema, fitting).byteLength <= bytes) break;
    fitting = { ...fitting, [part]: [], unread: [...new Set([...fitting.unread, part])] };
  }
  return fitting;
}
