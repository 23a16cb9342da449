import { WireType } from '@bufbuild/protobuf/wire';
import { imageFileSystems, percentUsed } from '../protocol/disks.ts';
import { isMeasure } from '../protocol/limits.ts';
import { fact, marks, metricAt } from '../storage/sample-frames.ts';

/**
 * Reads of a serialised Sample what its row needs, and checks the rules of its proto file on the way, without making an
 * object of each part. It knows what agents say nearly always; of all else it says nothing, and the generated code and
 * the validator have the last word. What it takes they take too, and with the same values.
 */
export interface SampleReader {
  /**
   * Reads the sample between these places.
   *
   * @param facts where its facts go, from `first` on (see `fact`): its number, its time by the agent's clock, whether it
   *   waited, samples that its boot had lost, and its metrics. The other ones stay as they are.
   * @returns its boot, empty for that of the session; undefined where another way has to read it
   */
  read(bytes: Buffer, from: number, to: number, facts: number[], first: number): Uint8Array | undefined;
}

/** What a field is; a number above 0 is text of so many characters at most. */
const [unknown, varint, double, name, fileSystem] = [0, -1, -2, -3, -4];
/** The fields of each message, by their numbers. */
const timeFields = [unknown, varint, varint];
const cpuFields = [unknown, double, varint, double, double, double];
const memoryFields = [unknown, varint, varint, varint, varint];
const diskFields = [
  unknown,
  1024,
  fileSystem,
  varint,
  varint,
  varint,
  varint,
  varint,
  128,
  double,
  double,
  double,
  double,
  double,
];
const networkFields = [unknown, 64, varint, varint, double, double, varint, varint];
const containerFields = [unknown, 128, 255, 512, 64, 64];
const serviceFields = [unknown, 255, 64, 64, varint];
const metricFields = [unknown, name, double];

/** Of a sample: how many there may be of what is repeated, by the field's number, and its last field. */
const most = [0, 0, 0, 0, 0, 256, 256, 1024, 1024, 256, 0, 0, 0, 0, 16];
const lastField = most.length - 1;
const nameCharacters = 64;
const unreadCharacters = 32;
const fileSystemCharacters = 64;
/** By the number of their characters. */
const images = imageFileSystems.map((kind) => Buffer.from(kind));
const bootBytes = 16;
/** Of four characters; none of ASCII has them. */
const highBits = 0x80808080 | 0;
const nanosPerSecond = 1e9;
const noBytes = Buffer.alloc(0);
/** Not a field. */
const ended = 0;

export function createSampleReader(): SampleReader {
  let bytes: Buffer = noBytes;
  let view: DataView = new DataView(noBytes.buffer);
  let at = 0;
  /** Something is not as it nearly always is. */
  let strange = false;
  /** The numbers of the message that was read last, by field, a place for others, and a bit for each that it has. */
  const value = new Float64Array(32);
  const scratch = 0;
  let has = 0;
  /** How many the sample has, by field. */
  const counts = new Uint16Array(most.length);

  /** One that is nearly always small: a tag, or a length. */
  function readVarint(to: number): number {
    const first = bytes[at] as number;
    if (first < 0x80 && at < to) {
      at++;
      return first;
    }
    readNumber(scratch, to);
    return number(scratch);
  }

  /** Into `value`: a large number that is returned becomes an object. */
  function readNumber(no: number, to: number): void {
    let sum = 0;
    let scale = 1;
    // Eight bytes hold 56 bits, of which a number takes 53 exactly.
    for (let count = 0; count < 8 && at < to; count++) {
      const next = bytes[at++] as number;
      sum += (next & 0x7f) * scale;
      if (next < 0x80) {
        if (sum > Number.MAX_SAFE_INTEGER) strange = true;
        value[no] = sum;
        return;
      }
      scale *= 128;
    }
    strange = true;
    value[no] = 0;
  }

  function readDouble(to: number): number {
    at += 8;
    if (at <= to) return view.getFloat64(bytes.byteOffset + at - 8, true);
    strange = true;
    return 0;
  }

  /** Where something ends that has its length before it. */
  function readEnd(to: number): number {
    const length = readVarint(to);
    if (at + length <= to) return at + length;
    strange = true;
    return at;
  }

  /** The next field with its wire type. */
  function readTag(to: number): number {
    if (at >= to || strange) return ended;
    const tag = readVarint(to);
    // A field number below 1, and above what all peers of these versions have together.
    if (tag < 8 || tag > 0xffff) strange = true;
    return strange ? ended : tag;
  }

  /** Only ASCII: another way counts the characters of other text. */
  function readText(to: number, characters: number): void {
    const stop = readEnd(to);
    if (stop - at > characters) strange = true;
    let high = 0;
    const start = bytes.byteOffset;
    for (; at + 4 <= stop; at += 4) high |= view.getInt32(start + at);
    for (; at < stop; at++) high |= (bytes[at] as number) << 24;
    if ((high & highBits) !== 0) strange = true;
  }

  /** The kind of a file system: 1 of an image, which does not count, and otherwise 0. */
  function readFileSystem(to: number): number {
    const from = at;
    readText(to, fileSystemCharacters);
    const length = at - from - 1;
    // A length may be written in more bytes than it takes.
    if (bytes[from] !== length) strange = true;
    for (const image of images) {
      if (image.length !== length) continue;
      let same = true;
      for (let index = 0; index < length; index++) same &&= bytes[from + 1 + index] === image[index];
      if (same) return 1;
    }
    return 0;
  }

  /** Letters, digits and underscores after a letter, and dots where they may be. */
  function readName(to: number, characters: number, dots: boolean): void {
    const stop = readEnd(to);
    if (stop === at || stop - at > characters) strange = true;
    for (let first = true; at < stop; at++, first = false) {
      const code = bytes[at] as number;
      const letter = code >= 0x61 && code <= 0x7a;
      const other = (code >= 0x30 && code <= 0x39) || code === 0x5f || (dots && code === 0x2e);
      if (!letter && (first || !other)) strange = true;
    }
  }

  function skip(type: number, to: number): void {
    if (type === WireType.Varint) readVarint(to);
    else if (type === WireType.Bit64) at += 8;
    else if (type === WireType.Bit32) at += 4;
    else if (type === WireType.LengthDelimited) at = readEnd(to);
    else strange = true;
    if (at > to) strange = true;
  }

  /** Reads a message with a length before it, into `value` and `has`. */
  function readMessage(fields: readonly number[], outerEnd: number): void {
    const to = readEnd(outerEnd);
    for (let no = 1; no < fields.length; no++) value[no] = 0;
    has = 0;
    for (let tag = readTag(to); tag !== ended; tag = readTag(to)) {
      const no = tag >>> 3;
      const type = tag & 7;
      const kind = fields[no] ?? unknown;
      if (kind === unknown) skip(type, to);
      else if ((has & (1 << no)) !== 0) strange = true;
      else if (kind === varint && type === WireType.Varint) readNumber(no, to);
      else if (kind === double && type === WireType.Bit64) value[no] = readDouble(to);
      else if (kind > 0 && type === WireType.LengthDelimited) readText(to, kind);
      else if (kind === fileSystem && type === WireType.LengthDelimited) value[no] = readFileSystem(to);
      else if (kind === name && type === WireType.LengthDelimited) readName(to, nameCharacters, true);
      else strange = true;
      if (kind !== unknown) has |= 1 << no;
    }
    if (at !== to) strange = true;
  }

  const number = (no: number): number => value[no] as number;
  const isAmount = (no: number): boolean => number(no) >= 0 && isMeasure(number(no));
  const percent = (used: number, total: number): number =>
    percentUsed(number(used), number(total)) ?? Number.NaN;

  function read(to: number, facts: number[], first: number): Uint8Array | undefined {
    counts.fill(0);
    let cpu = Number.NaN;
    let memory = Number.NaN;
    let swap = Number.NaN;
    let disk = Number.NaN;
    let load = Number.NaN;
    let received = Number.NaN;
    let sent = Number.NaN;
    let count = 0;
    let takenAt = Number.NaN;
    let late = false;
    let dropped = 0;
    let bootId: Uint8Array = noBytes;
    for (let tag = readTag(to); tag !== ended; tag = readTag(to)) {
      const no = tag >>> 3;
      const type = tag & 7;
      if (no <= lastField) {
        const isNumber = no === 1 || no === 12 || no === 13;
        if (type !== (isNumber ? WireType.Varint : WireType.LengthDelimited)) return undefined;
        // What is not repeated comes once.
        counts[no] = (counts[no] as number) + 1;
        if ((counts[no] as number) > (most[no] || 1)) return undefined;
      }
      switch (no) {
        case 1:
          readNumber(scratch, to);
          count = number(scratch);
          break;
        case 2:
          readMessage(timeFields, to);
          if (number(2) >= nanosPerSecond) return undefined;
          takenAt = number(1) * 1000 + number(2) / 1e6;
          break;
        case 3:
          readMessage(cpuFields, to);
          if (!(number(1) >= 0 && number(1) <= 100 && isAmount(3) && isAmount(4) && isAmount(5)))
            return undefined;
          cpu = number(1);
          load = number(3);
          break;
        case 4:
          readMessage(memoryFields, to);
          memory = percent(2, 1);
          swap = percent(4, 3);
          break;
        case 5: {
          readMessage(diskFields, to);
          for (let rate = 9; rate <= 13; rate++) if (!isAmount(rate)) return undefined;
          if (number(13) > 100) return undefined;
          if (number(2) !== 0) break;
          const available = (has & 0b100000) === 0 ? undefined : number(5);
          const used = percentUsed(number(4), number(3), available);
          if (used !== undefined && !(used <= disk)) disk = used;
          break;
        }
        case 6:
          readMessage(networkFields, to);
          if (!isAmount(4) || !isAmount(5)) return undefined;
          if ((has & 0b110000) === 0) break;
          received = (Number.isNaN(received) ? 0 : received) + number(4);
          sent = (Number.isNaN(sent) ? 0 : sent) + number(5);
          break;
        case 7:
          readMessage(containerFields, to);
          break;
        case 8:
          readMessage(serviceFields, to);
          break;
        case 9:
          readMessage(metricFields, to);
          if ((has & 0b10) === 0 || !isMeasure(number(2))) return undefined;
          break;
        case 10:
          readMessage(timeFields, to);
          break;
        case 11: {
          const from = at;
          at = readEnd(to);
          // After its length.
          bootId = Uint8Array.prototype.slice.call(bytes, at - bootBytes, at);
          if (at - from !== bootBytes + 1) return undefined;
          break;
        }
        case 12:
          late = readVarint(to) !== 0;
          break;
        case 13:
          readNumber(scratch, to);
          dropped = number(scratch);
          break;
        case 14:
          readName(to, unreadCharacters, false);
          break;
        default:
          skip(type, to);
      }
    }
    // An agent that only counts is somebody else's to read: its rates come of two samples.
    const known = !Number.isNaN(received) || counts[6] === 0;
    if (strange || count < 1 || Number.isNaN(takenAt) || !known) return undefined;
    facts[first + fact.number] = count;
    facts[first + fact.at] = takenAt;
    facts[first + fact.marks] = late ? marks.waited : 0;
    facts[first + fact.dropped] = dropped;
    const metrics = first + fact.metrics;
    facts[metrics + metricAt.cpu] = cpu;
    facts[metrics + metricAt.memory] = memory;
    facts[metrics + metricAt.swap] = swap;
    facts[metrics + metricAt.disk] = disk;
    facts[metrics + metricAt.load] = load;
    facts[metrics + metricAt.received] = received;
    facts[metrics + metricAt.sent] = sent;
    return bootId;
  }

  return {
    read(all, from, to, facts, first) {
      if (view.buffer !== all.buffer) view = new DataView(all.buffer);
      bytes = all;
      at = from;
      strange = false;
      return read(to, facts, first);
    },
  };
}
