import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type Sample,
  SampleSchema,
  type Telemetry,
  TelemetrySchema,
} from '#gen/viworks/agent/v1/telemetry_pb.js';

/** Telemetry of a simulated agent, in a closed loop: what is acknowledged makes room for more. */

export interface MeasuringLoad {
  /** Samples in one envelope. */
  each: number;
  /** Envelopes that are unacknowledged at once. */
  outstanding: number;
}

/** What a small server says of itself: two disks, two interfaces, three containers. */
const machine: Sample = create(SampleSchema, {
  cpu: { usedPercent: 12.5, cores: 8, load1m: 0.5, load5m: 0.4, load15m: 0.3 },
  memory: { totalBytes: 16_000_000_000n, usedBytes: 6_000_000_000n, swapTotalBytes: 2_000_000_000n },
  disks: ['/', '/data'].map((mount) => ({
    mount,
    fileSystem: 'ext4',
    totalBytes: 500_000_000_000n,
    usedBytes: 200_000_000_000n,
  })),
  networks: ['eth0', 'eth1'].map((name) => ({
    interface: name,
    receivedBytes: 123_456_789_012n,
    sentBytes: 98_765_432_109n,
  })),
  containers: ['web', 'worker', 'cache'].map((name) => ({
    id: '0123456789ab',
    name,
    image: 'registry.example/shop:1.2.3',
    state: 'running',
    health: 'healthy',
  })),
});

export const sampleOf = (number: number, at: number): Sample => ({
  ...machine,
  number: BigInt(number),
  takenAt: timestampFromMs(at),
});

/** @param say sends an envelope and answers with its sequence @param stored hears of samples that are acknowledged */
export function createMeasuring(
  { each, outstanding }: MeasuringLoad,
  say: (telemetry: Telemetry) => bigint,
  stored: (samples: number) => void,
) {
  const waiting: bigint[] = [];
  let number = 0;

  function fill(): void {
    while (waiting.length < outstanding) {
      const now = Date.now();
      const samples = Array.from({ length: each }, () => sampleOf(++number, now));
      waiting.push(say(create(TelemetrySchema, { samples })));
    }
  }
  return {
    fill,
    acknowledged(upTo: bigint) {
      let count = 0;
      while ((waiting[count] ?? upTo + 1n) <= upTo) count += 1;
      if (count === 0) return;
      waiting.splice(0, count);
      stored(count * each);
      fill();
    },
  };
}
