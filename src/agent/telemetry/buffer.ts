import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Sample, SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { timestampMs } from '../../protocol/envelope.ts';
import { fitted } from './fit.ts';
import type { Spool, SpooledFrame } from './spool.ts';

/**
 * Samples that wait to be sent, or to be acknowledged. They are numbered here, kept in the spool over the end of a
 * session and of the process, and sent in the order in which they were taken.
 */
export interface TelemetryBuffer {
  /** Resolves when the spool has it. */
  add(sample: Sample): Promise<void>;
  /** A new session is open, with this credit: what was not acknowledged goes out again. */
  restart(credit: number): void;
  setCredit(credit: number): void;
}

export interface TelemetryBufferDeps {
  spool: Spool;
  /** Of this process. */
  bootId: Uint8Array;
  /** False while no session is open. */
  send(samples: Sample[], delivered: () => void): boolean;
  /** Bytes that the server has not taken yet. */
  bufferedBytes(): number;
  /** Told of all that were lost since the start, when there are more. */
  onDropped(count: number): void;
  onError(error: unknown): void;
}

/** What one envelope holds. */
const batch = { count: 100, bytes: 256 * 1024 };
/** A backlog leaves room on the connection for results. */
const windowBytes = 1024 * 1024;

export function createTelemetryBuffer(deps: TelemetryBufferDeps): TelemetryBuffer {
  const { spool, bootId } = deps;
  let number = 0n;
  /** The position of the first that is not under way. */
  let next = 0;
  let underWay = 0;
  let credit = 0;
  /** Acknowledgements of an earlier session no longer count for the credit. */
  let generation = 0;
  /** The position of a sample that leaves as soon as it is there: it is not late. */
  let fresh: number | undefined;
  let told = 0;
  let pumping = false;
  let again = false;

  const mayLeave = () => underWay < credit && (underWay === 0 || deps.bufferedBytes() < windowBytes);

  function sampleOf({ position, data }: SpooledFrame): Sample {
    const sample = fromBinary(SampleSchema, data);
    sample.late = position !== fresh;
    if (Buffer.compare(sample.bootId, bootId) === 0) sample.bootId = new Uint8Array();
    return sample;
  }

  /** Sends one envelope. @returns false where there is nothing to send, or nobody to send it to */
  async function sendNext(): Promise<boolean> {
    const sentIn = generation;
    const frames = await spool.read(next, batch);
    if (sentIn !== generation) return true;
    const last = frames.at(-1);
    if (last === undefined) return false;
    const end = last.position + 1;
    const left = deps.send(frames.map(sampleOf), () => {
      spool.acknowledge(end).catch(deps.onError);
      if (sentIn !== generation) return;
      underWay -= 1;
      pump();
    });
    fresh = undefined;
    if (!left) return false;
    next = end;
    underWay += 1;
    return true;
  }

  async function sendAll(): Promise<void> {
    pumping = true;
    try {
      do again = false;
      while ((mayLeave() && (await sendNext())) || again);
    } catch (error) {
      deps.onError(error);
    } finally {
      pumping = false;
    }
  }

  function pump(): void {
    again = true;
    if (!pumping) void sendAll();
  }

  return {
    async add(taken) {
      const sample = fitted(taken, batch.bytes);
      number += 1n;
      sample.number = number;
      sample.bootId = bootId;
      const position = await spool.append(timestampMs(sample.takenAt) ?? 0, (dropped) => {
        sample.dropped = BigInt(dropped);
        return toBinary(SampleSchema, sample);
      });
      if (spool.dropped > told) {
        told = spool.dropped;
        deps.onDropped(told);
      }
      if (position === next && mayLeave()) fresh = position;
      pump();
    },
    restart(granted) {
      generation += 1;
      next = 0;
      underWay = 0;
      fresh = undefined;
      credit = granted;
      pump();
    },
    setCredit(granted) {
      credit = granted;
      pump();
    },
  };
}
