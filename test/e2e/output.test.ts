import { expect, test } from 'vitest';
import {
  Result_Outcome as Outcome,
  type OutputChunk_Stream as Stream,
} from '#gen/viworks/agent/v1/command_pb.js';
import type { OutputPiece, WatchEvent } from '../../src/commands/types.ts';
import { executionIn } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { enrolled, type FakeSession } from '../support/fake-agent.ts';

/** Output on its way from an agent to those who watch. */

const { core } = await startFileCore();

type Named = { executionId: string; attempt: number };

const submit = (agentId: string) =>
  core.engine.submit('tester', {
    verb: 'exec',
    args: { argv: ['true'] },
    target: { agents: [agentId] },
  });

function write(
  session: FakeSession,
  { executionId, attempt }: Named,
  offset: number,
  text: string,
  stream = 1,
) {
  const value = {
    executionId,
    attempt,
    update: {
      case: 'output' as const,
      value: { stream: stream as Stream, offset: BigInt(offset), data: Buffer.from(text) },
    },
  };
  return session.send({ case: 'commandUpdate', value });
}

/** Bytes as a watcher puts them together; a byte that comes twice is counted. */
function reader() {
  const streams = new Map<string, { text: string; repeated: number }>();
  return {
    take({ executionId, attempt, stream, offset, data }: OutputPiece) {
      const key = `${executionId}/${attempt}/${stream}`;
      const known = streams.get(key) ?? { text: '', repeated: 0 };
      expect(offset).toBeLessThanOrEqual(known.text.length);
      known.repeated += Math.max(0, Math.min(known.text.length - offset, data.byteLength));
      known.text = known.text.slice(0, offset) + Buffer.from(data).toString('latin1');
      streams.set(key, known);
    },
    of: ({ executionId, attempt }: Named, stream = 'stdout') =>
      streams.get(`${executionId}/${attempt}/${stream}`),
  };
}

/** Follows until the events satisfy, or the command is done. */
async function follow(commandId: string, cursor: string | undefined, until: (event: WatchEvent) => boolean) {
  const stop = new AbortController();
  const read = reader();
  let last = cursor;
  try {
    for await (const event of core.engine.watch(commandId, cursor, stop.signal)) {
      for (const piece of event.output) read.take(piece);
      last = event.cursor;
      if (until(event)) break;
    }
  } finally {
    stop.abort();
  }
  return { read, cursor: last };
}
const hasOutput = (event: WatchEvent) => event.output.length > 0;
const never = () => false;

async function resultOf(commandId: string) {
  const { executions } = await core.engine.get(commandId, { size: 1, token: undefined });
  return executions.items[0]?.result;
}
const text = (data: Uint8Array | undefined) => Buffer.from(data ?? []).toString();

test('a watcher sees what is written while it runs, and the result has all of it', async () => {
  const session = await (await enrolled(core, 'talks')).connect();
  const { commandId } = await submit('talks');
  const order = await session.order();
  session.running(order);
  const watching = follow(commandId, undefined, never);
  await session.acknowledged(write(session, order, 0, 'one '));
  await session.acknowledged(write(session, order, 0, 'oh ', 2));
  await session.acknowledged(write(session, order, 4, 'two '));
  // What was not acknowledged when it ended comes with the result, in part for the second time.
  write(session, order, 8, 'three ');
  session.result(order, {
    stdout: { data: Buffer.from('three four'), offset: 8n, totalBytes: 18n },
    stderr: { data: new Uint8Array(), offset: 3n, totalBytes: 3n },
  });
  const { read } = await watching;
  expect(read.of(order)).toEqual({ text: 'one two three four', repeated: 0 });
  expect(read.of(order, 'stderr')).toEqual({ text: 'oh ', repeated: 0 });
  const result = await resultOf(commandId);
  expect(text(result?.stdout?.data)).toBe('one two three four');
  expect(result?.stdout).toMatchObject({ totalBytes: 18, truncated: false });
  expect(text(result?.stderr?.data)).toBe('oh ');
});

test('who joins late gets all from the beginning; who comes back goes on where it was', async () => {
  const session = await (await enrolled(core, 'joined')).connect();
  const { commandId } = await submit('joined');
  const order = await session.order();
  session.running(order);
  await session.acknowledged(write(session, order, 0, 'abc'));
  const first = await follow(commandId, undefined, hasOutput);
  expect(first.read.of(order)?.text).toBe('abc');
  await session.acknowledged(write(session, order, 3, 'def'));
  const second = await follow(commandId, first.cursor, hasOutput);
  const gone = second.read;
  await session.acknowledged(write(session, order, 6, 'ghi'));
  session.result(order, { stdout: { data: Buffer.from('jkl'), offset: 9n, totalBytes: 12n } });
  await executionIn(core.engine, commandId, 'succeeded');
  const third = await follow(commandId, second.cursor, never);
  const late = await follow(commandId, undefined, never);
  expect(late.read.of(order)).toEqual({ text: 'abcdefghijkl', repeated: 0 });
  // Near a break a piece may come twice; its offset tells, and nothing is missing.
  const all = [first.read, gone, third.read].map((read) => read.of(order)?.text ?? '');
  expect(all.at(-1)).toMatch(/ghijkl$/);
});

test('a session that breaks in the middle loses nothing and stores nothing twice', async () => {
  const agent = await enrolled(core, 'broken');
  const session = await agent.connect();
  const { commandId } = await submit('broken');
  const order = await session.order();
  session.running(order);
  await session.acknowledged(write(session, order, 0, '0123'));
  session.destroy();
  const next = await agent.connect({ account: [{ order, phase: 'RUNNING' }] });
  // The agent did not hear of all acknowledgements, and cuts its pieces elsewhere.
  await next.acknowledged(write(next, order, 2, '2345'));
  await next.acknowledged(write(next, order, 6, '6789'));
  next.result(order, { stdout: { data: new Uint8Array(), offset: 10n, totalBytes: 10n } });
  await executionIn(core.engine, commandId, 'succeeded');
  expect(text((await resultOf(commandId))?.stdout?.data)).toBe('0123456789');
  const { read } = await follow(commandId, undefined, never);
  expect(read.of(order)).toEqual({ text: '0123456789', repeated: 0 });
});

test('what was written before a crash of the agent is there, and marked as cut off', async () => {
  const session = await (await enrolled(core, 'crashed')).connect();
  const { commandId } = await submit('crashed');
  const order = await session.order();
  session.running(order);
  await session.acknowledged(write(session, order, 0, 'half of'));
  const failure = { code: 'agent_restarted', message: 'nobody knows' };
  session.result(order, { outcome: Outcome.UNKNOWN, exitCode: undefined, failure });
  await executionIn(core.engine, commandId, 'outcome_unknown');
  const result = await resultOf(commandId);
  expect(text(result?.stdout?.data)).toBe('half of');
  expect(result?.stdout?.truncated).toBe(true);
  expect(result?.failure?.code).toBe('agent_restarted');
});

test('a range of one stream is read exactly', async () => {
  const session = await (await enrolled(core, 'ranged')).connect();
  const { commandId } = await submit('ranged');
  const order = await session.order();
  await session.acknowledged(write(session, order, 0, 'hello '));
  const { executionId } = order;
  const range = (offset: number, limit = 100) => core.engine.output(executionId, 'stdout', offset, limit);
  expect(await range(0)).toMatchObject({ complete: false, totalBytes: undefined });
  await session.acknowledged(write(session, order, 6, 'world'));
  expect(text((await range(3, 5)).data)).toBe('lo wo');
  session.result(order, { stdout: { data: Buffer.from('!'), offset: 11n, totalBytes: 12n } });
  await executionIn(core.engine, commandId, 'succeeded');
  expect(await range(6)).toMatchObject({ complete: true, totalBytes: 12 });
  expect(text((await range(6)).data)).toBe('world!');
  expect(text((await range(50)).data)).toBe('');
  await expect(range(-1)).rejects.toMatchObject({ code: 'invalid_request', fields: [{ field: 'offset' }] });
  await expect(core.engine.output(commandId, 'stdout', 0, 1)).rejects.toMatchObject({
    code: 'execution_unknown',
  });
});

test('output that is not asked for, of another, beyond the limit or with a hole does no harm', async () => {
  const session = await (await enrolled(core, 'odd')).connect();
  const other = await (await enrolled(core, 'odd-other')).connect();
  const { commandId } = await submit('odd');
  const order = await session.order();
  await other.acknowledged(write(other, order, 0, 'not mine'));
  await session.acknowledged(write(session, { ...order, attempt: 2 }, 0, 'not yet'));
  await session.acknowledged(write(session, order, 0, 'abc'));
  await session.acknowledged(write(session, order, 0, 'xyz'));
  await session.acknowledged(write(session, order, 10, 'far'));
  await session.acknowledged(write(session, order, 2 ** 40, 'far away'));
  await session.acknowledged(write(session, order, 0, 'zero', 0));
  session.result(order, { stdout: { data: Buffer.from('end'), offset: 99n, totalBytes: 4n } });
  await executionIn(core.engine, commandId, 'succeeded');
  const stdout = (await resultOf(commandId))?.stdout;
  expect(text(stdout?.data)).toBe('abc');
  expect(stdout?.truncated).toBe(true);
});

test('a flood of one agent does not hold up another', async () => {
  const flood = await (await enrolled(core, 'flood')).connect();
  const quiet = await (await enrolled(core, 'quiet')).connect();
  const { commandId } = await submit('flood');
  const order = await flood.order();
  const piece = 'x'.repeat(32 * 1024);
  let last = 0n;
  for (let n = 0; n < 8; n++) last = write(flood, order, n * piece.length, piece);
  const quick = await submit('quiet');
  quiet.result(await quiet.order());
  await executionIn(core.engine, quick.commandId, 'succeeded');
  await flood.acknowledged(last);
  flood.result(order, {
    stdout: { data: new Uint8Array(), offset: 262_144n, totalBytes: 9_000_000n, truncated: true },
  });
  await executionIn(core.engine, commandId, 'succeeded');
  const stdout = (await resultOf(commandId))?.stdout;
  expect(stdout).toMatchObject({ totalBytes: 9_000_000, truncated: true });
  expect(stdout?.data.byteLength).toBe(262_144);
});
