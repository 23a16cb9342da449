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
    availableBytes: 275_000_000_000n,
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

/** Bytes of a number with a fixed length: that of a sample, and the seconds of its time. */
const numberBytes = 5;

/**
 * Samples as fields of TELEMETRY, in bytes that are made once: an agent of a real fleet has a machine of its own to make
 * them on. Those that are said are written into their envelope at once, and the bytes are used for the next.
 */
function createSerialised(each: number) {
  const constant = toBinary(SampleSchema, machine);
  const room = new Uint8Array(numberBytes);
  const writer = new BinaryWriter().tag(1, WireType.Varint).raw(room).tag(2, WireType.LengthDelimited);
  const head = writer.fork().tag(1, WireType.Varint).raw(room).join().finish();
  const body = Buffer.concat([head, constant]);
  const one = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(body).finish();
  const headAt = one.length - body.length;
  const template = Buffer.concat(Array.from({ length: each }, () => one));
  // As the value of a field, whose tag is written with it.
  const value = template.subarray(1);
  return (first: number, at: number): Uint8Array => {
    for (let index = 0; index < each; index++) {
      const from = index * one.length + headAt;
      writeNumber(template, from + 1, first + index);
      writeNumber(template, from + head.length - numberBytes, Math.floor(at / 1000));
    }
    return value;
  };
}

function writeNumber(bytes: Uint8Array, at: number, number: number): void {
  for (let index = 0, rest = number; index < numberBytes; index++, rest = Math.floor(rest / 128))
    bytes[at + index] = (rest % 128) | (index < numberBytes - 1 ? 0x80 : 0);
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
  const serialised = createSerialised(each);
  let credit = outstanding;
  let number = 0;
  let timer: NodeJS.Timeout | undefined;

  function sayOne(): void {
    const message = create(TelemetrySchema);
    const data = serialised(number + 1, Date.now());
    message.$unknown = [{ no: 1, wireType: WireType.LengthDelimited, data }];
    number += each;
    waiting.push({ sequence: say(message), sentAt: performance.now() });
  }

  function fill(): void {
    while (everyMs === undefined && waiting.length < credit) sayOne();
  }

  return {
    begin() {
      if (everyMs === undefined) return fill();
      const turn = () => {
        if (waiting.length < credit) sayOne();
        timer = setTimeout(turn, everyMs);
      };
      // Not all agents at the same moment.
      timer = setTimeout(turn, Math.random() * everyMs);
    },
    end: () => clearTimeout(timer),
    /** The server takes so many envelopes at once. */
    granted(envelopes: number) {
      credit = Math.min(outstanding, envelopes);
      fill();
    },
    acknowledged(upTo: bigint) {
      let count = 0;
      while ((waiting[count]?.sequence ?? upTo + 1n) <= upTo) count += 1;
      if (count === 0) return;
      const now = performance.now();
      stored(
        count * each,
        waiting.splice(0, count).map(({ sentAt }) => now - sentAt),
      );
      fill();
    },
  };
}
