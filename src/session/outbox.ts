import { create, toBinary } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromDate } from '@bufbuild/protobuf/wkt';
import { type Command, CommandBodySchema, CommandSchema } from '#gen/viworks/agent/v1/command_pb.js';
import { wireLimits } from '../protocol/limits.ts';
import { encodingOf } from '../protocol/verb-values.ts';
import type { OrderRow } from '../storage/executions.ts';

/** The outbox makes a COMMAND of what the engine hands over. Its body is serialised once and never again. */
export function commandOf(order: OrderRow): Command {
  const body = toBinary(
    CommandBodySchema,
    create(CommandBodySchema, {
      agentId: order.agentId,
      incarnation: order.incarnation,
      executionId: order.executionId,
      commandId: order.commandId,
      attempt: order.attempt,
      verb: order.verb,
      args: order.argsBytes,
      argsEncoding: encodingOf(order.verb),
      expiresAt: timestampFromDate(order.expiresAt),
      timeout: durationFromMs(order.timeoutMs),
      outputLimit: wireLimits.outputBytes,
    }),
  );
  return create(CommandSchema, { body });
}
