import { fromBinary } from '@bufbuild/protobuf';
import { type Sample, SampleSchema, type Telemetry } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { samplesOf } from '../../src/protocol/unread-telemetry.ts';

/** The samples of a TELEMETRY that came over a connection. */
export const readSamples = (message: Telemetry): Sample[] =>
  samplesOf(message).map((bytes) => fromBinary(SampleSchema, bytes));
