import { expect, test } from 'vitest';
import type { CommandView } from '../api/schemas/commands.ts';
import type { ExecutionView } from '../api/schemas/executions.ts';
import { ViworksError } from '../errors.ts';
import { lastSeen } from './agents.ts';
import { stateOf } from './command-view.ts';
import { failureOf, UsageError } from './failure.ts';
import { createLiveOutput, piecesOf } from './live-output.ts';
import { everyPage } from './pages.ts';
import { progressLine } from './progress.ts';
import { outputsOf, printResults } from './results.ts';
import { printable, since, table } from './terminal.ts';

const execution = (more: Partial<ExecutionView>): ExecutionView => ({
  executionId: 'e',
  commandId: 'c',
  agentId: 'web-1',
  state: 'running',
  attempt: 1,
  revision: 1,
  transitions: [{ state: 'queued', cause: 'submitted', at: '2026-01-01T00:00:00.000Z' }],
  ...more,
});
const stream = (text: string, truncated = false) => ({ text, totalBytes: text.length, truncated });

test('columns are as wide as their widest cell', () => {
  expect(
    table(
      ['A', 'LONG'],
      [
        ['wide', 'x'],
        ['y', ''],
      ],
    ),
  ).toEqual(['A     LONG', 'wide  x', 'y']);
});

test('control characters of others become visible', () => {
  expect(printable('a\u001b[2Jb\tc\r\n')).toBe('a\\x1b[2Jb\tc\n');
});

test('an agent that is online is seen now, another when it was last heard of', () => {
  const now = Date.parse('2026-01-02T00:00:00Z');
  const lastSeenAt = '2026-01-01T23:00:00Z';
  expect(lastSeen({ status: 'online', lastSeenAt }, now)).toBe('now');
  expect(lastSeen({ status: 'offline', lastSeenAt }, now)).toBe('1h ago');
  expect(lastSeen({ status: 'offline', lastSeenAt: undefined }, now)).toBe('never');
});

test('how long ago', () => {
  const now = Date.parse('2026-01-02T00:00:00Z');
  expect(since('2026-01-01T23:59:50Z', now)).toBe('10s ago');
  expect(since('2026-01-01T00:00:00Z', now)).toBe('1d ago');
  expect(since(undefined, now)).toBe('never');
});

test('a progress line has the state, the duration, the exit code and the first line of output', () => {
  const now = Date.parse('2026-01-01T00:00:02Z');
  expect(progressLine(execution({}), now, 8).split(/\s{2,}/)).toEqual(['web-1', 'running', '2 s', '']);
  const done = execution({
    state: 'succeeded',
    transitions: [
      ...execution({}).transitions,
      { state: 'succeeded', cause: 'exit code 0', at: '2026-01-01T00:00:00.500Z' },
    ],
    result: { exitCode: 0, stdout: stream('hello\nworld\n') },
  });
  expect(progressLine(done, now, 8)).toMatch(/^web-1 +succeeded +500 ms +exit 0 +hello$/);
});

test('what an agent answered, on the stream it was written to', () => {
  const done = execution({
    state: 'failed',
    result: {
      exitCode: 1,
      stdout: stream('out'),
      stderr: stream('err', true),
      failure: { code: 'exit', message: 'exit code 1' },
    },
  });
  expect(outputsOf('exec', done)).toEqual([
    { text: 'out', toStderr: false },
    { text: 'err\n… cut off, 3 bytes in all', toStderr: true },
    { text: 'failed: exit code 1', toStderr: true },
  ]);
  const info = execution({ state: 'succeeded', result: { output: { hostname: 'a' } } });
  expect(outputsOf('system.info', info)).toEqual([{ text: '{\n  "hostname": "a"\n}', toStderr: false }]);
  const file = execution({ state: 'succeeded', result: { output: { data: 'aGk=' } } });
  expect(outputsOf('file.read', file)).toEqual([{ text: 'hi', toStderr: false }]);
});

test('failures have an exit code and, where it helps, a hint', () => {
  expect(failureOf(new UsageError('wrong'))).toMatchObject({ code: 'usage', exitCode: 2 });
  expect(failureOf(new ViworksError('agent_unknown', 'x'))).toMatchObject({
    exitCode: 2,
    hint: expect.stringContaining('viworks agents'),
  });
  expect(failureOf(new ViworksError('config_invalid', 'X: y'))).toMatchObject({
    exitCode: 2,
    hint: undefined,
  });
  expect(failureOf(new ViworksError('unavailable', 'x'))).toMatchObject({ exitCode: 1 });
  expect(failureOf(new TypeError('oops')).message).not.toContain('oops');
  const full = new ViworksError('queue_full', 'Too much waits.', { retryAfterMs: 1500 });
  expect(failureOf(full).message).toBe('Too much waits. Try again in 1.5 s.');
});

test('what machines say of themselves does not take over the terminal, in a table either', () => {
  expect(table(['HOST'], [['a\u001b[2Jb']])).toEqual(['HOST', 'a\\x1b[2Jb']);
  expect(table(['HOST'], [['a\nb\u2066']])).toEqual(['HOST', 'a\\x0ab\\u2066']);
});

test.each([
  [true, 'a\\x1b[2Jb'],
  [false, 'a\u001b[2Jb'],
])(
  'results on a terminal (%s) show control characters, and elsewhere are as they were written',
  (interactive, line) => {
    const lines: string[] = [];
    const terminal = { interactive, line: (text = '') => lines.push(text), note: () => {} };
    const done = execution({ state: 'succeeded', result: { stdout: stream('a\u001b[2Jb\n') } });
    printResults(terminal, 'exec', [done]);
    expect(lines).toEqual([line]);
  },
);

test('every page is read, each after the one before', async () => {
  const asked: (string | undefined)[] = [];
  const { pages, last } = await everyPage(async ({ pageToken }) => {
    asked.push(pageToken);
    return asked.length < 3 ? { nextPageToken: `after ${asked.length}` } : {};
  });
  expect(asked).toEqual([undefined, 'after 1', 'after 2']);
  expect(pages).toHaveLength(3);
  expect(last).toBe(pages[2]);
});

test('a list of commands says what a person has to decide', () => {
  const rollout = (state: 'paused' | 'stopped' | 'running', waiting: number): CommandView['rollout'] => ({
    state,
    released: 1,
    updatedAt: '2026-01-01T00:00:00.000Z',
    plan: {
      canary: 1,
      pauseAfterCanary: false,
      batch: { percent: 25 },
      failureThreshold: { percent: 10, minimumSample: 5 },
      deliveryTimeoutMs: 1000,
    },
    counts: { succeeded: 0, failed: 1, undelivered: 0, inFlight: 0, waiting },
  });
  const counts = { held: 1 };
  const requested = { requestedBy: 'alice', requestedAt: '2026-01-01T00:00:00.000Z' };
  expect(stateOf({ counts, approval: { state: 'pending', ...requested } })).toBe('1 held: awaits approval');
  expect(stateOf({ counts, approval: { state: 'approved', ...requested } })).toBe('1 held');
  expect(stateOf({ counts, rollout: rollout('stopped', 1) })).toBe('1 held: rollout stopped');
  expect(stateOf({ counts, rollout: rollout('stopped', 0) })).toBe('1 held');
  expect(stateOf({ counts, rollout: rollout('paused', 1) })).toBe('1 held: rollout paused');
  expect(stateOf({ counts, rollout: rollout('running', 1) })).toBe('1 held');
});

test('what a program wrote at its end comes with its result, and follows what was shown', () => {
  const live = createLiveOutput();
  const base64 = Buffer.from('one\ntw').toString('base64');
  const piece = {
    executionId: 'e',
    agentId: 'web-1',
    attempt: 1,
    stream: 'stdout' as const,
    offset: 0,
    base64,
  };
  expect(live.take(piece)).toEqual(['one']);
  const ended = execution({
    state: 'failed',
    result: { stdout: stream('one\ntwo\nthree'), stderr: stream('oh\n') },
  });
  expect(piecesOf(ended).flatMap(live.take)).toEqual(['two', 'oh']);
  expect(live.end('e')).toEqual([{ stream: 'stdout', line: 'three' }]);
});
