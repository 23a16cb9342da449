import { TRPCClientError } from '@trpc/client';
import { expect, test } from 'vitest';
import type { AppOutputs } from '../../src/api/trpc/router.ts';
import { createGate, createProcessRig, type ProcessRig } from '../support/app-process.ts';

/** What a process writes while the server, or its agent, is killed. Real processes. */

type Piece =
  AppOutputs['commands']['watch'] extends AsyncIterable<{ data: { output: (infer P)[] } }> ? P : never;

/** Reads a command's stdout as a watcher does that comes back after each break, and tells what it has. */
function readerOf(rig: ProcessRig, commandId: string) {
  let text = '';
  let cursor: string | undefined;
  let wake = () => {};
  const take = ({ stream, offset, base64 }: Piece) => {
    if (stream !== 'stdout') return;
    const piece = Buffer.from(base64, 'base64').toString();
    // Never a hole. What comes again after a break is what was there, and its offset tells.
    expect(offset).toBeLessThanOrEqual(text.length);
    expect(text.slice(offset, offset + piece.length)).toBe(piece.slice(0, Math.max(0, text.length - offset)));
    text = text.slice(0, offset) + piece;
    wake();
  };
  async function read(): Promise<void> {
    for (;;) {
      try {
        const input = { commandId, ...(cursor === undefined ? {} : { lastEventId: cursor }) };
        for await (const { id, data } of rig.client().commands.watch.subscribe(input)) {
          for (const piece of data.output) take(piece);
          cursor = id;
          if (data.command.done) return;
        }
      } catch (error) {
        // The server is away; it is asked again.
        if (!(error instanceof TRPCClientError)) throw error;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  return {
    done: read(),
    text: () => text,
    async until(part: string) {
      while (!text.includes(part)) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

const count = (from: number, to: number) =>
  `i=${from}; while [ $i -lt ${to} ]; do echo line-$i; i=$((i+1)); done`;
const lines = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => `line-${from + n}\n`).join('');

test('a watcher gets every byte in its place, also of what was written while the server was dead', async () => {
  const rig = createProcessRig();
  await rig.startServer();
  await rig.startAgent();
  const [first, second] = ['first', 'second'].map((name) => createGate(`${rig.folder}/${name}`));
  if (first === undefined || second === undefined) throw new Error('no gates');
  const commandId = await rig.submit(
    `${count(0, 500)}; ${first.line}; ${count(500, 1500)}; ${second.line}; ${count(1500, 2000)}`,
  );
  const reader = readerOf(rig, commandId);
  await first.reached;
  await reader.until('line-499\n');
  await rig.kill(rig.server());
  await first.open();
  await second.reached;
  await rig.startServer();
  await reader.until('line-1499\n');
  await second.open();
  await reader.done;
  expect(reader.text()).toBe(lines(0, 2000));
  const { result } = await rig.finished(commandId);
  expect(result?.stdout).toMatchObject({ text: lines(0, 2000), truncated: false });
}, 60_000);

test('what was written before the agent was killed is there, and nobody says that it was all', async () => {
  const rig = createProcessRig();
  await rig.startServer();
  await rig.startAgent();
  const gate = createGate(`${rig.folder}/gate`);
  const commandId = await rig.submit(`${count(0, 500)}; ${gate.line}; echo never`);
  const reader = readerOf(rig, commandId);
  await gate.reached;
  await reader.until('line-499\n');
  await rig.kill(rig.agent());
  await rig.startAgent();
  await reader.done;
  expect(reader.text()).toBe(lines(0, 500));
  const { state, result } = await rig.finished(commandId);
  expect(state).toBe('outcome_unknown');
  expect(result?.stdout).toMatchObject({ text: lines(0, 500), truncated: true });
}, 60_000);
