import { toBinary } from '@bufbuild/protobuf';
import { type Sample, SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';

/**
 * Samples that wait to be sent, or to be acknowledged. They are numbered here, and kept over the end of a
 * session; where too many gather, the oldest are dropped and counted.
 */
export interface TelemetryBuffer {
  add(sample: Sample): void;
  /** A new session is open, with this credit: what was not acknowledged goes out again. */
  restart(credit: number): void;
  setCredit(credit: number): void;
  /** Samples that were dropped since the buffer was made. */
  readonly dropped: number;
}

export interface TelemetryBufferDeps {
  /** False while no session is open. */
  send(samples: Sample[], delivered: () => void): boolean;
  onDropped(count: number): void;
  /** Samples to keep. */
  capacity?: number;
}

const batchCount = 100;
const batchBytes = 512 * 1024;

export function createTelemetryBuffer(deps: TelemetryBufferDeps): TelemetryBuffer {
  const { capacity = 120 } = deps;
  /** Oldest first; those that are under way come first. */
  let samples: Sample[] = [];
  /** How many of the first samples are under way. */
  let sent = 0;
  let underWay = 0;
  let credit = 0;
  let number = 0n;
  let dropped = 0;
  let generation = 0;

  function pump(): void {
    while (underWay < credit && sent < samples.length) {
      const batch = firstBatch(samples.slice(sent));
      const last = batch.at(-1)?.number ?? 0n;
      const sentIn = generation;
      const left = deps.send(batch, () => {
        if (sentIn !== generation) return;
        const before = samples.length;
        samples = samples.filter((sample) => sample.number > last);
        sent = Math.max(0, sent - (before - samples.length));
        underWay -= 1;
        pump();
      });
      if (!left) return;
      sent += batch.length;
      underWay += 1;
    }
  }
  return {
    add(sample) {
      number += 1n;
      sample.number = number;
      samples.push(sample);
      if (samples.length > capacity) {
        samples.shift();
        sent = Math.max(0, sent - 1);
        dropped += 1;
        deps.onDropped(dropped);
      }
      pump();
    },
    restart(granted) {
      generation += 1;
      sent = 0;
      underWay = 0;
      credit = granted;
      pump();
    },
    setCredit(granted) {
      credit = granted;
      pump();
    },
    get dropped() {
      return dropped;
    },
  };
}

/** As many of the first samples as fit into one envelope; at least one. */
function firstBatch(samples: Sample[]): Sample[] {
  if (samples.length <= 1) return samples;
  let bytes = 0;
  const end = samples.slice(0, batchCount).findIndex((sample) => {
    bytes += toBinary(SampleSchema, sample).byteLength;
    return bytes > batchBytes;
  });
  return samples.slice(0, end < 0 ? batchCount : Math.max(1, end));
}
