import { create, toBinary } from '@bufbuild/protobuf';
import { WireType } from '@bufbuild/protobuf/wire';
import { type Telemetry, TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';

/**
 * Samples are stored as they came. To read all of each and to write it again takes ten times as long as to look at what is
 * needed of it, so a TELEMETRY from the wire has its samples unread: as protobuf keeps fields that it does not know.
 */

/** `Telemetry.samples`. */
const samplesField = 1;
const samplesTag = (samplesField << 3) | WireType.LengthDelimited;
/** `Envelope.telemetry`. */
const telemetryTag = (18 << 3) | WireType.LengthDelimited;

/**
 * Finds TELEMETRY in a serialised envelope, where it is the last field.
 *
 * @returns where its tag and its value begin; undefined where another way has to read it
 */
export function telemetryIn(bytes: Uint8Array): { tagAt: number; valueAt: number } | undefined {
  for (let at = 0; at < bytes.length; ) {
    const tagAt = at;
    let tag = bytes[at++] ?? 0;
    if (tag > 0x7f) tag = (tag & 0x7f) | ((bytes[at++] ?? 0) << 7);
    const type = tag & 7;
    if (tag > 0x3fff || (type !== WireType.Varint && type !== WireType.LengthDelimited)) return undefined;
    const length = type === WireType.Varint ? 0 : lengthAt(bytes, at);
    at = afterVarint(bytes, at);
    if (tag === telemetryTag) return at + length === bytes.length ? { tagAt, valueAt: at } : undefined;
    at += length;
  }
  return undefined;
}

/** A TELEMETRY whose samples are not read; undefined where another way has to read it. */
export function unreadTelemetry(bytes: Uint8Array): Telemetry | undefined {
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at++] !== samplesTag) return undefined;
    at = afterVarint(bytes, at) + lengthAt(bytes, at);
    if (at > bytes.length) return undefined;
  }
  const message = create(TelemetrySchema);
  // All behind the tag of the first as one field: it is written again as it came.
  const data = bytes.subarray(1);
  if (bytes.length > 0) message.$unknown = [{ no: samplesField, wireType: WireType.LengthDelimited, data }];
  return message;
}

export interface SerialisedSamples {
  bytes: Buffer;
  /** Where the first begins and where it ends, and so on. */
  places: number[];
}

/** The samples of a TELEMETRY, serialised, whether they are read or not. */
export function samplesOf(message: Telemetry): SerialisedSamples {
  const { samples } = message;
  if (samples.length === 0) return unreadSamples(message);
  const unread = unreadTelemetry(toBinary(TelemetrySchema, create(TelemetrySchema, { samples })));
  return unreadSamples(unread ?? create(TelemetrySchema));
}

/** Whether there is more than one sample in it, without reading any. */
export function hasSeveral({ samples, $unknown = [] }: Telemetry): boolean {
  const unread = $unknown.filter(({ no }) => no === samplesField);
  const [first] = unread;
  if (samples.length > 0 || unread.length > 1 || first === undefined)
    return samples.length + unread.length > 1;
  return afterVarint(first.data, 0) + lengthAt(first.data, 0) < first.data.length;
}

function unreadSamples({ $unknown = [] }: Telemetry): SerialisedSamples {
  const [first] = $unknown;
  const all = $unknown.length === 1 && first?.no === samplesField ? first.data : joined($unknown);
  const bytes = Buffer.from(all.buffer, all.byteOffset, all.byteLength);
  const places: number[] = [];
  for (let at = 0; at < bytes.length; at++) {
    const from = Math.min(afterVarint(bytes, at), bytes.length);
    at = Math.min(from + lengthAt(bytes, at), bytes.length);
    places.push(from, at);
  }
  return { bytes, places };
}

/** What is behind the tag of the first: the others have theirs between them. */
function joined(fields: NonNullable<Telemetry['$unknown']>): Uint8Array {
  const parts = fields.filter(({ no }) => no === samplesField);
  return Buffer.concat(parts.flatMap(({ data }) => [betweenTag, data]).slice(1));
}

const betweenTag = Buffer.of(samplesTag);

/** A varint of up to four bytes: no message is longer. Infinite where it is none. */
function lengthAt(bytes: Uint8Array, at: number): number {
  let length = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    const next = bytes[at++];
    if (next === undefined) break;
    length |= (next & 0x7f) << shift;
    if (next < 0x80) return length;
  }
  return Number.POSITIVE_INFINITY;
}

function afterVarint(bytes: Uint8Array, at: number): number {
  while ((bytes[at++] ?? 0) > 0x7f);
  return at;
}
