import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { createTelemetryBuffer } from './buffer.ts';
import { createMemorySpool } from './spool.ts';

function startBuffer(capacity: number) {
  const sent: { numbers: bigint[]; late: boolean[]; dropped: bigint[]; delivered: () => void }[] = [];
  let open = true;
  const dropped: number[] = [];
  const spool = createMemorySpool({ capacity });
  const buffer = createTelemetryBuffer({
    spool,
    bootId: new Uint8Array(16).fill(1),
    onDropped: (count) => dropped.push(count),
    onError(error) {
      throw error;
    },
    bufferedBytes: () => 0,
    send(samples, delivered) {
      const ofAll = <T>(of: (sample: (typeof samples)[number]) => T) => samples.map(of);
      if (open)
        sent.push({
          numbers: ofAll(({ number }) => number),
          late: ofAll(({ late }) => late),
          dropped: ofAll((sample) => sample.dropped),
          delivered,
        });
      return open;
    },
  });
  /** The sending follows in the tasks of the same turn of the event loop. */
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  const add = async (count: number) => {
    for (let i = 0; i < count; i += 1) {
      await buffer.add(create(SampleSchema, { takenAt: timestampFromMs(1000) }));
      await settled();
    }
  };
  return { buffer, sent, dropped, add, settled, cut: () => (open = false), reopen: () => (open = true) };
}

test('no more envelopes are under way than the credit allows, and what waited for it is late', async () => {
  const { buffer, sent, add, settled } = startBuffer(10);
  buffer.restart(2);
  await add(4);
  expect(sent.map(({ numbers }) => numbers)).toEqual([[1n], [2n]]);
  expect(sent.flatMap(({ late }) => late)).toEqual([false, false]);
  sent[0]?.delivered();
  await settled();
  expect(sent.at(-1)).toMatchObject({ numbers: [3n, 4n], late: [true, true] });
  buffer.setCredit(3);
  await add(1);
  expect(sent.at(-1)).toMatchObject({ numbers: [5n], late: [false] });
});

test('the newest samples are kept over a break, and the lost ones are counted', async () => {
  const { buffer, sent, dropped, add, settled, cut, reopen } = startBuffer(3);
  buffer.restart(1);
  await add(1);
  cut();
  await add(4);
  expect(dropped).toEqual([1, 2]);
  reopen();
  buffer.restart(1);
  await settled();
  expect(sent.at(-1)).toMatchObject({
    numbers: [3n, 4n, 5n],
    late: [true, true, true],
    dropped: [0n, 1n, 2n],
  });
  // What an earlier session delivered late frees no credit.
  sent[0]?.delivered();
  await settled();
  expect(sent).toHaveLength(2);
  sent[1]?.delivered();
  await add(1);
  expect(sent.at(-1)).toMatchObject({ numbers: [6n], late: [false], dropped: [2n] });
});

test('a sample that was under way when its session ended comes again, before newer ones', async () => {
  const { buffer, sent, add, settled } = startBuffer(10);
  buffer.restart(2);
  await add(1);
  buffer.restart(2);
  await settled();
  await add(1);
  expect(sent.map(({ numbers }) => numbers)).toEqual([[1n], [1n], [2n]]);
  expect(sent.map(({ late }) => late)).toEqual([[false], [true], [false]]);
});
