import { expect, test } from 'vitest';
import type { Execution, WatchEvent } from '../../commands/types.ts';
import { partsOf } from './watch.ts';

function execution(agentId: string, outputBytes: number): Execution {
  return {
    executionId: agentId,
    commandId: 'c',
    agentId,
    state: 'succeeded',
    attempt: 1,
    transitions: [],
    revision: 1,
    result: {
      exitCode: 0,
      signal: undefined,
      stdout: { data: new Uint8Array(outputBytes), totalBytes: outputBytes, truncated: false },
      stderr: undefined,
      output: undefined,
      failure: undefined,
      startedAt: undefined,
      finishedAt: undefined,
    },
  };
}

const event = (executions: Execution[]) => ({ cursor: 'new', executions }) as WatchEvent;
const shape = (parts: Iterable<WatchEvent>) =>
  [...parts].map(({ cursor, executions }) => [cursor, executions.map((each) => each.agentId).join('')]);

test('a small event, also one without executions, is one part with its own cursor', () => {
  expect(shape(partsOf(event([execution('a', 10), execution('b', 10)]), 'old'))).toEqual([['new', 'ab']]);
  expect(shape(partsOf(event([]), 'old'))).toEqual([['new', '']]);
});

test('a large event comes in parts, and only the last moves the cursor on', () => {
  const executions = ['a', 'b', 'c', 'd'].map((agentId) => execution(agentId, 2000));
  expect(shape(partsOf(event(executions), 'old', 7000))).toEqual([
    ['old', 'ab'],
    ['new', 'cd'],
  ]);
});

test('an execution over the limit goes alone', () => {
  const executions = [execution('a', 1), execution('b', 9000), execution('c', 1)];
  expect(shape(partsOf(event(executions), '', 3000))).toEqual([
    ['', 'a'],
    ['', 'b'],
    ['new', 'c'],
  ]);
});
