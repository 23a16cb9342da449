import { create, fromBinary, fromJsonString, type MessageInitShape, toJsonString } from '@bufbuild/protobuf';
import { type Timestamp, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { ViworksError } from '../errors.ts';
import { newIdBytes } from '../lib/ids.ts';
import { createEnvelopeWriter } from './envelope-writer.ts';
import { wireLimits } from './limits.ts';
import { telemetryIn, unreadTelemetry } from './unread-telemetry.ts';

/**
 * The envelope codec: the two forms in which an envelope travels (protobuf, and its JSON mapping), with the
 * size limit checked on both ways.
 */

export type EnvelopeBody = Envelope['body'];
export type EnvelopeKind = NonNullable<EnvelopeBody['case']>;

/** Synchronous from its first byte to its last: whoever encodes shares it. */
const writer = createEnvelopeWriter();

type EnvelopeInit = MessageInitShape<typeof EnvelopeSchema>;

/** A new envelope with an id and the time. Sequence and acknowledgement are the session's to fill in. */
export function envelope(body: NonNullable<EnvelopeInit['body']>, now: number): Envelope {
  return create(EnvelopeSchema, { messageId: newIdBytes(), sentAt: timestampFromMs(now), body });
}

/** An envelope without a body: an acknowledgement only. */
export function acknowledgement(acknowledged: bigint): Envelope {
  return create(EnvelopeSchema, { acknowledged });
}

/** @throws message_too_large */
export function encodeBinary(message: Envelope): Uint8Array {
  const bytes = writer.write(message);
  if (bytes.byteLength > wireLimits.messageBytes) throw tooLarge(bytes.byteLength);
  return bytes;
}

/** @throws message_too_large */
export function encodeJson(message: Envelope): string {
  const text = toJsonString(EnvelopeSchema, message);
  if (text.length > wireLimits.messageBytes) throw tooLarge(text.length);
  return text;
}

/** The samples of a TELEMETRY may be left unread; see `samplesOf`. @throws message_too_large, protocol_violation */
export function decodeBinary(bytes: Uint8Array): Envelope {
  if (bytes.byteLength > wireLimits.messageBytes) throw tooLarge(bytes.byteLength);
  try {
    return withUnreadTelemetry(bytes) ?? fromBinary(EnvelopeSchema, bytes);
  } catch (cause) {
    throw new ViworksError('protocol_violation', 'The message is not a protobuf Envelope.', { cause });
  }
}

function withUnreadTelemetry(bytes: Uint8Array): Envelope | undefined {
  const found = telemetryIn(bytes);
  if (found === undefined) return undefined;
  const value = unreadTelemetry(bytes.subarray(found.valueAt));
  if (value === undefined) return undefined;
  const message = fromBinary(EnvelopeSchema, bytes.subarray(0, found.tagAt));
  // Two of them are one, by the rules of protobuf.
  if (message.body.case === 'telemetry') return undefined;
  message.body = { case: 'telemetry', value };
  return message;
}

/** Unknown fields are ignored, as in the binary form. @throws message_too_large, protocol_violation */
export function decodeJson(text: string): Envelope {
  if (text.length > wireLimits.messageBytes) throw tooLarge(text.length);
  try {
    return fromJsonString(EnvelopeSchema, text, { ignoreUnknownFields: true });
  } catch (cause) {
    throw new ViworksError('protocol_violation', 'The message is not the JSON form of an Envelope.', {
      cause,
    });
  }
}

export function tooLarge(bytes: number): ViworksError {
  return new ViworksError(
    'message_too_large',
    `A message of ${bytes} bytes is over the limit of ${wireLimits.messageBytes} bytes.`,
  );
}

/** Milliseconds since 1970, or undefined where the field is not set. */
export function timestampMs(timestamp: Timestamp | undefined): number | undefined {
  return timestamp === undefined ? undefined : Number(timestamp.seconds) * 1000 + timestamp.nanos / 1e6;
}
