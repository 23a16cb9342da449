import { create, toBinary } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ArgsEncoding, CommandBodySchema } from '#gen/viworks/agent/v1/command_pb.js';
import { wireLimits } from '../protocol/limits.ts';
import type { OrderRow } from '../storage/executions.ts';
import { commandBody } from './outbox.ts';

const counts = fc.integer({ min: 1, max: 2 ** 31 - 1 });

const orders: fc.Arbitrary<OrderRow> = fc.record({
  executionId: fc.uuid(),
  commandId: fc.uuid(),
  agentId: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }),
  incarnation: counts,
  epoch: counts,
  attempt: counts,
  retries: fc.constant(0),
  maxRetries: fc.constant(0),
  verb: fc.constantFrom('exec', 'docker.run', 'panel.user.create'),
  argsBytes: fc.uint8Array({ maxLength: 1000 }),
  timeoutMs: fc.integer({ min: 1, max: 86_400_000 }),
  expiresAt: fc.integer({ min: 0, max: 4_102_444_800_000 }).map((ms) => new Date(ms)),
  traceparent: fc.constant(null),
});

test('a command body is written byte for byte as the generated code writes it', () => {
  fc.assert(
    fc.property(orders, (order) => {
      const { agentId, incarnation, executionId, commandId, attempt, verb } = order;
      const message = create(CommandBodySchema, {
        agentId,
        incarnation,
        executionId,
        commandId,
        attempt,
        verb,
        args: order.argsBytes,
        argsEncoding: verb.startsWith('panel.') ? ArgsEncoding.JSON : ArgsEncoding.PROTOBUF,
        expiresAt: timestampFromMs(order.expiresAt.getTime()),
        timeout: durationFromMs(order.timeoutMs),
        outputLimit: wireLimits.outputBytes,
      });
      expect(commandBody(order)).toEqual(toBinary(CommandBodySchema, message));
    }),
  );
});
