import { create, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { type Result, Result_Outcome, ResultSchema } from '#gen/viworks/agent/v1/command_pb.js';
import { createMemoryLedger } from './ledger.ts';
import { createOutbox } from './outbox.ts';

async function startOutbox(count: number) {
  const ledger = createMemoryLedger();
  const results = Array.from({ length: count }, (_, i) =>
    create(ResultSchema, { executionId: `e${i}`, attempt: 1, outcome: Result_Outcome.SUCCEEDED }),
  );
  const finish = (result: Result) => ledger.finished(result.executionId, 1, toBinary(ResultSchema, result));
  await Promise.all(results.map(finish));
  const sent: { id: string; delivered: () => void }[] = [];
  const line = { open: true, bufferedBytes: 0 };
  const outbox = createOutbox({
    ledger,
    send(result, delivered) {
      if (line.open) sent.push({ id: result.executionId, delivered });
      return line.open;
    },
    bufferedBytes: () => line.bufferedBytes,
  });
  return { ledger, outbox, results, sent, line };
}

test('a new session repeats what is in the ledger, a window at a time, each once', async () => {
  const { ledger, outbox, sent } = await startOutbox(3_000);
  outbox.restart();
  expect(sent).toHaveLength(256);
  for (const { delivered } of sent) delivered();
  expect(sent).toHaveLength(3_000);
  expect(new Set(sent.map(({ id }) => id)).size).toBe(3_000);
  expect(ledger.unsettledCount).toBe(0);
});

test('a connection that does not drain gets one at a time', async () => {
  const { outbox, sent, line } = await startOutbox(3);
  line.bufferedBytes = 2 * 1024 * 1024;
  outbox.restart();
  expect(sent).toHaveLength(1);
  sent[0]?.delivered();
  expect(sent).toHaveLength(2);
});

test('what no session takes is found in the ledger by the next one', async () => {
  const { outbox, results, sent, line } = await startOutbox(2);
  line.open = false;
  for (const result of results) outbox.add(result);
  expect(sent).toEqual([]);
  line.open = true;
  outbox.restart();
  expect(sent.map(({ id }) => id)).toEqual(['e0', 'e1']);
});

test('an acknowledgement of an earlier session settles, and frees no place in the window of this one', async () => {
  const { ledger, outbox, sent } = await startOutbox(300);
  outbox.restart();
  outbox.restart();
  expect(sent).toHaveLength(512);
  sent[0]?.delivered();
  expect(sent).toHaveLength(512);
  expect(ledger.find('e0', 1)).toBe('settled');
});
