import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { wireLimits } from '../protocol/limits.ts';
import { encodingOf } from '../protocol/verb-values.ts';
import type { OrderRow } from '../storage/executions.ts';

/**
 * The outbox makes the body of a COMMAND of what the engine hands over. It is serialised once and never again, because
 * these bytes are what is signed; it is written field by field, as the generated code would, in a third of the time.
 */

/** Its buffer is used again, because nothing else is written while a body is. */
const bodyWriter = new BinaryWriter();

/** A serialised CommandBody. */
export function commandBody(order: OrderRow, writer: BinaryWriter = bodyWriter): Uint8Array {
  const text = WireType.LengthDelimited;
  writer.tag(1, text).string(order.agentId);
  writer.tag(2, WireType.Varint).uint32(order.incarnation);
  writer.tag(3, text).string(order.executionId);
  writer.tag(4, text).string(order.commandId);
  writer.tag(5, WireType.Varint).uint32(order.attempt);
  writer.tag(6, text).string(order.verb);
  if (order.argsBytes.byteLength > 0) writer.tag(7, text).bytes(order.argsBytes);
  writer.tag(8, WireType.Varint).uint32(encodingOf(order.verb));
  writeSpan(writer, 10, order.expiresAt.getTime());
  writeSpan(writer, 11, order.timeoutMs);
  writer.tag(12, WireType.Varint).uint32(wireLimits.outputBytes);
  return writer.finish();
}

/** A google.protobuf.Timestamp, or Duration. @param ms not negative */
function writeSpan(writer: BinaryWriter, field: number, ms: number): void {
  const seconds = Math.floor(ms / 1000);
  const nanos = Math.round((ms - seconds * 1000) * 1e6);
  writer.tag(field, WireType.LengthDelimited).fork();
  if (seconds !== 0) writer.tag(1, WireType.Varint).int64(seconds);
  if (nanos !== 0) writer.tag(2, WireType.Varint).int32(nanos);
  writer.join();
}
