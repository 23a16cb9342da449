import { type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { type Command, type Output, type Result, SignatureSchema } from '#gen/viworks/agent/v1/command_pb.js';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import type { Sealed } from '#gen/viworks/agent/v1/handshake_pb.js';
import type { Telemetry } from '#gen/viworks/agent/v1/telemetry_pb.js';

/**
 * Envelopes in their binary form, field by field into a buffer that is used again. They are what the service writes
 * most; the generated way allocates and grows a buffer for each, and takes three times as long. It writes the same
 * bytes: fields in the order of their numbers, those at their default left out.
 */
export interface EnvelopeWriter {
  write(message: Envelope): Uint8Array;
}

/** A buffer that grew larger than this for one message is not kept for the next. */
const keptBytes = 64 * 1024;

/** The largest number that the fast way of writing a varint takes. */
const uint32Limit = 2n ** 32n;

export function createEnvelopeWriter(): EnvelopeWriter {
  let writer = new BinaryWriter();
  return {
    write(message) {
      try {
        writeEnvelope(writer, message);
        const bytes = writer.finish();
        if (bytes.byteLength > keptBytes) writer = new BinaryWriter();
        return bytes;
      } catch (error) {
        // What was written of it must not come before the next one.
        writer = new BinaryWriter();
        throw error;
      }
    },
  };
}

/** The message types of the bodies, by the name of their field. */
const bodies: ReadonlyMap<string, { number: number; schema: DescMessage }> = new Map(
  EnvelopeSchema.fields.flatMap((field) =>
    field.oneof !== undefined && field.fieldKind === 'message'
      ? [[field.localName, { number: field.number, schema: field.message }] as const]
      : [],
  ),
);

function writeEnvelope(writer: BinaryWriter, message: Envelope): void {
  const { messageId, sequence, acknowledged, sentAt, traceparent, tracestate, body } = message;
  if (messageId.byteLength > 0) writer.tag(1, WireType.LengthDelimited).bytes(messageId);
  writeCount(writer, 2, sequence);
  writeCount(writer, 3, acknowledged);
  if (sentAt !== undefined) writeTimestamp(writer, 4, sentAt);
  if (traceparent !== '') writer.tag(5, WireType.LengthDelimited).string(traceparent);
  if (tracestate !== '') writer.tag(6, WireType.LengthDelimited).string(tracestate);
  if (body.case === undefined) return;
  const known = bodies.get(body.case);
  if (known === undefined) throw new Error(`an envelope has no body ${body.case}`);
  writer.tag(known.number, WireType.LengthDelimited);
  if (body.case === 'command') writeCommand(writer, body.value);
  else if (body.case === 'sealed' && body.value.$unknown === undefined) writeSealed(writer, body.value);
  else if (body.case === 'result' && body.value.$unknown === undefined) writeResult(writer, body.value);
  else if (body.case === 'telemetry' && body.value.samples.length === 0) writeUnread(writer, body.value);
  else writer.bytes(toBinary(known.schema, body.value as MessageShape<DescMessage>));
}

/** Samples that were never read, see `unread-telemetry.ts`. */
function writeUnread(writer: BinaryWriter, { $unknown = [] }: Telemetry): void {
  writer.fork();
  for (const { no, wireType, data } of $unknown) writer.tag(no, wireType).raw(data);
  writer.join();
}

function writeCommand(writer: BinaryWriter, { body, signatures }: Command): void {
  writer.fork();
  if (body.byteLength > 0) writer.tag(1, WireType.LengthDelimited).bytes(body);
  for (const { keyId, value, leafIndex, treeSize, path } of signatures) {
    writer.tag(2, WireType.LengthDelimited).fork();
    if (keyId !== '') writer.tag(1, WireType.LengthDelimited).string(keyId);
    if (value.byteLength > 0) writer.tag(2, WireType.LengthDelimited).bytes(value);
    if (leafIndex !== 0) writer.tag(3, WireType.Varint).uint32(leafIndex);
    if (treeSize !== 0) writer.tag(4, WireType.Varint).uint32(treeSize);
    if (path.byteLength > 0) writer.tag(5, WireType.LengthDelimited).bytes(path);
    writer.join();
  }
  writer.join();
}

function writeSealed(writer: BinaryWriter, { counter, ciphertext, keyGeneration, signature }: Sealed): void {
  writer.fork();
  writeCount(writer, 1, counter);
  if (ciphertext.byteLength > 0) writer.tag(2, WireType.LengthDelimited).bytes(ciphertext);
  if (keyGeneration !== 0) writer.tag(3, WireType.Varint).uint32(keyGeneration);
  if (signature !== undefined) {
    writer.tag(4, WireType.LengthDelimited).bytes(toBinary(SignatureSchema, signature));
  }
  writer.join();
}

function writeResult(writer: BinaryWriter, result: Result): void {
  const { executionId, attempt, outcome, exitCode, signal, stdout, stderr, output, outputEncoding } = result;
  const { failure, startedAt, finishedAt } = result;
  writer.fork();
  if (executionId !== '') writer.tag(1, WireType.LengthDelimited).string(executionId);
  if (attempt !== 0) writer.tag(2, WireType.Varint).uint32(attempt);
  if (outcome !== 0) writer.tag(3, WireType.Varint).int32(outcome);
  if (exitCode !== undefined) writer.tag(4, WireType.Varint).int32(exitCode);
  if (signal !== '') writer.tag(5, WireType.LengthDelimited).string(signal);
  if (stdout !== undefined) writeOutput(writer, 6, stdout);
  if (stderr !== undefined) writeOutput(writer, 7, stderr);
  if (output.byteLength > 0) writer.tag(8, WireType.LengthDelimited).bytes(output);
  if (outputEncoding !== 0) writer.tag(9, WireType.Varint).int32(outputEncoding);
  if (failure !== undefined) {
    writer.tag(10, WireType.LengthDelimited).fork();
    if (failure.code !== '') writer.tag(1, WireType.LengthDelimited).string(failure.code);
    if (failure.message !== '') writer.tag(2, WireType.LengthDelimited).string(failure.message);
    writer.join();
  }
  if (startedAt !== undefined) writeTimestamp(writer, 11, startedAt);
  if (finishedAt !== undefined) writeTimestamp(writer, 12, finishedAt);
  writer.join();
}

function writeOutput(writer: BinaryWriter, field: number, output: Output): void {
  const { data, totalBytes, truncated, offset } = output;
  writer.tag(field, WireType.LengthDelimited).fork();
  if (data.byteLength > 0) writer.tag(1, WireType.LengthDelimited).bytes(data);
  writeCount(writer, 2, totalBytes);
  if (truncated) writer.tag(3, WireType.Varint).bool(truncated);
  writeCount(writer, 4, offset);
  writer.join();
}

function writeCount(writer: BinaryWriter, field: number, count: bigint): void {
  if (count === 0n) return;
  writer.tag(field, WireType.Varint);
  if (count < uint32Limit) writer.uint32(Number(count));
  else writer.uint64(count);
}

function writeTimestamp(
  writer: BinaryWriter,
  field: number,
  { seconds, nanos }: Pick<Timestamp, 'seconds' | 'nanos'>,
): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  if (seconds !== 0n) writer.tag(1, WireType.Varint).int64(seconds);
  if (nanos !== 0) writer.tag(2, WireType.Varint).int32(nanos);
  writer.join();
}
