import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type Sample,
  SampleSchema,
  type Telemetry,
  TelemetrySchema,
} from '#gen/viworks/agent/v1/telemetry_pb.js';

/** Telemetry of a simulated agent: in a closed loop, where what is acknowledged makes room for more, or at a pace. */

export interface MeasuringLoad {
  /** Samples in one envelope. */
  each: number;
  /** Envelopes that are unacknowledged at once. */
  outstanding: number;
  /** Milliseconds between two envelopes, as long as so many are not unacknowledged; without it a closed loop. */
  everyMs?: number;
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
    receivedBytesPerSecond: 12_345.5,
    sentBytesPerSecond: 9876.5,
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

/** Of a sample, in a frame. */
export const sampleBytes = toBinary(SampleSchema, sampleOf(1_000_000, 1_700_000_000_000)).byteLength;

/** What does not change, serialised once: an agent of a real fleet has a machine of its own to do it on. */
const constant = toBinary(SampleSchema, machine);

/** A sample as a field of TELEMETRY, with its length before it. */
function serialised(number: number, at: number): Uint8Array {
  const writer = new BinaryWriter().fork().tag(1, WireType.Varint).uint64(number);
  writer.tag(2, WireType.LengthDelimited).fork();
  writer.tag(1, WireType.Varint).int64(Math.floor(at / 1000));
  writer.tag(2, WireType.Varint).int32((at % 1000) * 1_000_000);
  return writer.join().raw(constant).join().finish();
}

/**
 * @param say sends an envelope and answers with its sequence
 * @param stored hears of samples that are acknowledged, and for how many milliseconds each of their envelopes waited
 */
export function createMeasuring(
  { each, outstanding, everyMs }: MeasuringLoad,
  say: (telemetry: Telemetry) => bigint,
  stored: (samples: number, waitedMs: readonly number[]) => void,
) {
  const waiting: { sequence: bigint; sentAt: number }[] = [];
  let number = 0;
  let timer: NodeJS.Timeout | undefined;

  function sayOne(): void {
    const now = Date.now();
    const message = create(TelemetrySchema);
    message.$unknown = Array.from({ length: each }, () => {
      number += 1;
      return { no: 1, wireType: WireType.LengthDelimited, data: serialised(number, now) };
    });
    waiting.push({ sequence: say(message), sentAt: performance.now() });
  }

  function fill(): void {
    while (waiting.length < outstanding) sayOne();
  }

  return {
    begin() {
      if (everyMs === undefined) return fill();
      const turn = () => {
        if (waiting.length < outstanding) sayOne();
        timer = setTimeout(turn, everyMs);
      };
      // Not all agents at the same moment.
      timer = setTimeout(turn, Math.random() * everyMs);
    },
    end: () => clearTimeout(timer),
    acknowledged(upTo: bigint) {
      let count = 0;
      while ((waiting[count]?.sequence ?? upTo + 1n) <= upTo) count += 1;
      if (count === 0) return;
      const now = performance.now();
      stored(
        count * each,
        waiting.splice(0, count).map(({ sentAt }) => now - sentAt),
      );
      if (everyMs === undefined) fill();
    },
  };
}
