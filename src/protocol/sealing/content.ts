import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import type { Envelope } from '#gen/viworks/agent/v1/envelope_pb.js';
import { ViworksError } from '../../errors.ts';
import { decodeBinary } from '../envelope.ts';

/** The serialised SealedContent, by hand: what is in it is serialised already, or to be parsed one by one. */

/** Envelopes of one frame, so that a small one does not become very many in memory. */
export const envelopesOfFrame = 1024;

/** Bytes that one envelope, or an ephemeral key, takes beside its own. */
export const contentOverhead = 5;

const envelopeTag = 0x0a;
const keyTag = 0x12;

export function writeContent(envelopes: readonly Uint8Array[], ephemeralKey: Uint8Array | undefined): Buffer {
  let size = ephemeralKey === undefined ? 0 : contentOverhead + ephemeralKey.byteLength;
  for (const bytes of envelopes) size += contentOverhead + bytes.byteLength;
  const buffer = Buffer.allocUnsafe(size);
  let at = 0;
  for (const bytes of envelopes) at = writeField(buffer, at, envelopeTag, bytes);
  if (ephemeralKey !== undefined) at = writeField(buffer, at, keyTag, ephemeralKey);
  return buffer.subarray(0, at);
}

function writeField(buffer: Buffer, at: number, tag: number, bytes: Uint8Array): number {
  buffer[at] = tag;
  let next = at + 1;
  let length = bytes.byteLength;
  while (length > 0x7f) {
    buffer[next] = (length & 0x7f) | 0x80;
    next += 1;
    length >>>= 7;
  }
  buffer[next] = length;
  buffer.set(bytes, next + 1);
  return next + 1 + bytes.byteLength;
}

export interface Content {
  envelopes: Envelope[];
  ephemeralKey: Uint8Array | undefined;
}

/** Fields that newer peers add are passed over. @throws protocol_violation */
export function readContent(bytes: Uint8Array): Content {
  const envelopes: Envelope[] = [];
  let ephemeralKey: Uint8Array | undefined;
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const { field, value } = readField(reader);
    if (field === 2) ephemeralKey = value;
    if (field !== 1) continue;
    if (envelopes.length === envelopesOfFrame) throw violation(`has more than ${envelopesOfFrame} envelopes`);
    envelopes.push(decodeBinary(value));
  }
  return { envelopes, ephemeralKey };
}

const nothing = new Uint8Array(0);

function readField(reader: BinaryReader): { field: number; value: Uint8Array } {
  try {
    const [field, type] = reader.tag();
    if (type === WireType.LengthDelimited) return { field, value: reader.bytes() };
    reader.skip(type, field);
    return { field: 0, value: nothing };
  } catch (cause) {
    throw violation('is not a SealedContent', cause);
  }
}

const violation = (what: string, cause?: unknown) =>
  new ViworksError('protocol_violation', `sealed.ciphertext: ${what}.`, { cause });
