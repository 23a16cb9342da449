import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readerOf } from '../../test/support/stream-reader.ts';
import type { Agent } from '../registry/types.ts';
import { createBoard, type Headline } from './board.ts';
import { createTurnstile, type Ear } from './hint.ts';
import { createMirror, sameBut } from './mirror.ts';
import { agentSource, sampleSource } from './sources.ts';
import { streamOf } from './stream.ts';

/** Readers of any speed, that break off and come back, over logs that are far too small. */

const epoch = 'here';

const headline = (agentId: string, number: number): Headline => ({
  agentId,
  at: new Date(number),
  bootId: new Uint8Array(16),
  number,
  receivedAt: new Date(number),
  late: false,
  skewed: false,
  cpu: number,
  memory: null,
  swap: null,
  disk: null,
  load: null,
  received: null,
  sent: null,
});

const agentAt = (agentId: string, site: string): Agent =>
  ({ agentId, site, labels: {}, capabilities: [] }) as unknown as Agent;

const who = fc.constantFrom('a', 'b', 'c', 'd');
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('sample' as const), agentId: who }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('agent' as const),
      agentId: who,
      site: fc.constantFrom('here', 'there', undefined),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('read' as const), count: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cut' as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

function world(samples: number, changes: number) {
  const board = createBoard(samples);
  const agents = createMirror<Agent>({ capacity: changes, same: sameBut() });
  const taken = new Map<string, number>();
  return {
    board,
    agents,
    act(given: Step) {
      if (given.do === 'sample') {
        const number = (taken.get(given.agentId) ?? 0) + 1;
        taken.set(given.agentId, number);
        board.put([{ ...headline(given.agentId, number), sample: new Uint8Array() }]);
      }
      if (given.do === 'agent')
        agents.put(given.agentId, given.site === undefined ? undefined : agentAt(given.agentId, given.site));
    },
  };
}

describe('a reader of any speed', () => {
  test.each([
    ['with logs that are far too small', 3, 2],
    ['with logs that hold everything', 1000, 1000],
  ])(
    'of telemetry ends with the newest sample of each agent that it sees, %s',
    async (_how, samples, changes) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { maxLength: 60, size: 'max' }),
          fc.integer({ min: 1, max: 3 }),
          async (steps, most) => {
            const { board, agents, act } = world(samples, changes);
            const source = sampleSource(epoch, board, agents, most, { sites: ['here'] }, undefined);
            const reader = readerOf(source, most, ({ agentId }) => agentId);
            for (const each of steps) {
              if (each.do === 'read') await reader.read(each.count);
              else if (each.do === 'cut') await reader.cut();
              else act(each);
            }
            await reader.read(1000);
            const truth = [...agents.values()].flatMap(({ agentId, site }) =>
              site === 'here' ? (board.get(agentId) ?? []) : [],
            );
            const byId = (one: Headline, other: Headline) => one.agentId.localeCompare(other.agentId);
            expect([...reader.known.values()].sort(byId)).toEqual(truth.sort(byId));
            // What is there no more is never told of beyond the reader's sight, and nothing goes backwards.
            const last = new Map<string, number>();
            for (const { shown, snapshot } of reader.events) {
              if (snapshot?.part === 1) last.clear();
              for (const { agentId, number } of shown) {
                expect(number).toBeGreaterThanOrEqual(last.get(agentId) ?? 0);
                last.set(agentId, number);
              }
            }
          },
        ),
      );
    },
  );

  test('is told each sample, or that it was left out', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60, size: 'max' }),
        fc.integer({ min: 1, max: 3 }),
        async (steps, most) => {
          const { board, agents, act } = world(1000, 1000);
          for (const agentId of ['a', 'b', 'c', 'd']) agents.put(agentId, agentAt(agentId, 'here'));
          const reader = readerOf(
            sampleSource(epoch, board, agents, most, {}, undefined),
            most,
            (s) => s.agentId,
          );
          await reader.read(1);
          for (const each of steps) {
            if (each.do === 'read') await reader.read(each.count);
            else if (each.do === 'cut') await reader.cut();
            else if (each.do === 'sample') act(each);
          }
          await reader.read(1000);
          const told = reader.events.reduce((sum, { shown, skipped }) => sum + shown.length + skipped, 0);
          expect(told).toBe(board.head);
          expect(reader.events.filter(({ snapshot }) => snapshot !== undefined)).toHaveLength(1);
        },
      ),
    );
  });

  test('of agents is told every change in order, or how things are where it is too slow', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60, size: 'max' }),
        fc.constantFrom(2, 1000),
        async (steps, capacity) => {
          const { agents, act } = world(1, capacity);
          const reader = readerOf(
            agentSource(epoch, agents, { sites: ['here'] }, undefined),
            2,
            (a) => a.agentId,
          );
          await reader.read(1);
          const happened: string[] = [];
          for (const each of steps) {
            if (each.do === 'read') await reader.read(each.count);
            else if (each.do === 'cut') await reader.cut();
            else if (each.do === 'agent') {
              const before = agents.get(each.agentId)?.site;
              act(each);
              if (before === each.site) continue;
              if (each.site === 'here') happened.push(`${each.agentId} here`);
              else if (before === 'here') happened.push(`${each.agentId} gone`);
            }
          }
          await reader.read(1000);
          const truth = [...agents.values()]
            .filter(({ site }) => site === 'here')
            .map(({ agentId }) => agentId);
          expect([...reader.known.keys()].sort()).toEqual(truth.sort());
          if (capacity === 2) return;
          const last = (agentId: string, texts: string[]) => texts.filter((text) => text.startsWith(agentId));
          const told = reader.events.flatMap(({ shown, gone }) => [
            ...gone.map((agentId) => `${agentId} gone`),
            ...shown.map(({ agentId }) => `${agentId} here`),
          ]);
          for (const agentId of ['a', 'b', 'c', 'd'])
            expect(last(agentId, told)).toEqual(last(agentId, happened));
        },
      ),
    );
  });
});

test.each([
  ['of another process', 'there.0.0', 'resume'],
  ['that is none', 'nonsense', 'resume'],
  ['of what has not happened', `${epoch}.99.99`, 'resume'],
  ['that is absent', undefined, 'start'],
])('after a cursor %s a stream begins with how things are', async (_what, cursor, because) => {
  const { board, agents } = world(10, 10);
  agents.put('a', agentAt('a', 'here'));
  board.put([{ ...headline('a', 1), sample: new Uint8Array() }]);
  const ear: Ear = { lower: () => {}, heard: async () => {}, close: () => {} };
  const rules = { most: 10, intervalMs: 0, turn: async () => {}, began: () => {} };
  const source = sampleSource(epoch, board, agents, 10, {}, undefined);
  const stream = streamOf(source, cursor, rules, ear, new AbortController().signal);
  const { value } = await stream.next();
  expect(value).toMatchObject({
    snapshot: { part: 1, parts: 1, because },
    shown: [{ agentId: 'a', number: 1 }],
  });
  await stream.return(undefined);
});

test('who breaks off within a snapshot gets it again from its beginning', async () => {
  const { agents } = world(10, 10);
  for (const agentId of ['a', 'b', 'c']) agents.put(agentId, agentAt(agentId, 'here'));
  const reader = readerOf(agentSource(epoch, agents, {}, undefined), 2, ({ agentId }) => agentId);
  await reader.read(1);
  await reader.cut();
  await reader.read(10);
  expect(reader.events.map(({ snapshot }) => snapshot)).toEqual([
    { part: 1, parts: 2, because: 'start' },
    { part: 1, parts: 2, because: 'resume' },
    { part: 2, parts: 2, because: 'resume' },
  ]);
  expect([...reader.known.keys()]).toEqual(['a', 'b', 'c']);
});

test('a late sample, and one that comes again, is no news', () => {
  const board = createBoard(10);
  const put = (number: number) => board.put([{ ...headline('a', number), sample: new Uint8Array() }]);
  for (const number of [5, 5, 3, 6]) put(number);
  expect(board.head).toBe(2);
  expect(board.get('a')?.number).toBe(6);
});

test('those in whose place a sample came count as left out', async () => {
  const { board, agents } = world(10, 10);
  agents.put('a', agentAt('a', 'here'));
  const put = (number: number, superseded: number) =>
    board.put([{ ...headline('a', number), superseded, sample: new Uint8Array() }]);
  put(1, 0);
  const reader = readerOf(sampleSource(epoch, board, agents, 10, {}, undefined), 10, (s) => s.agentId);
  await reader.read(1);
  put(4, 2);
  await reader.read(1);
  expect(reader.events.map(({ shown, skipped }) => [shown.map(({ number }) => number), skipped])).toEqual([
    [[1], 0],
    [[4], 2],
  ]);
});

test('what an agent kept and sends late is not told, and is the newest where it is', async () => {
  const { board, agents } = world(10, 10);
  agents.put('a', agentAt('a', 'here'));
  const put = (number: number, waited: boolean) =>
    board.put([{ ...headline('a', number), waited, sample: new Uint8Array() }]);
  put(1, false);
  const reader = readerOf(sampleSource(epoch, board, agents, 10, {}, undefined), 10, (s) => s.agentId);
  await reader.read(1);
  for (const number of [2, 3, 4]) put(number, true);
  await reader.read(1);
  expect(board.get('a')?.number).toBe(4);
  put(5, false);
  await reader.read(2);
  expect(reader.events.map(({ shown }) => shown.map(({ number }) => number))).toEqual([[1], [5]]);
  expect(reader.events.at(-1)?.skipped).toBe(0);
});

test('who sees an agent that was enrolled anew is told nothing of the one before', async () => {
  const { board, agents } = world(10, 10);
  agents.put('a', agentAt('a', 'there'));
  const reader = readerOf(sampleSource(epoch, board, agents, 10, {}, ['here']), 10, (s) => s.agentId);
  await reader.read(1);
  board.put([{ ...headline('a', 1), sample: new Uint8Array() }]);
  board.forget('a');
  agents.put('a', agentAt('a', 'here'));
  await reader.read(2);
  const late = readerOf(sampleSource(epoch, board, agents, 10, {}, ['here']), 10, (s) => s.agentId);
  await late.read(1);
  expect([...reader.known.values(), ...late.known.values()]).toEqual([]);
  board.put([{ ...headline('a', 2), sample: new Uint8Array() }]);
  await reader.read(2);
  expect([...reader.known.values()].map(({ number }) => number)).toEqual([2]);
});

test('many readers let the process do something else between them, and all come through', async () => {
  const turn = createTurnstile(2);
  const passed: string[] = [];
  const readers = Array.from({ length: 5 }, async (_, n) => {
    await turn();
    passed.push(`reader ${n}`);
  });
  const other = new Promise<void>((done) => {
    setImmediate(() => {
      passed.push('other work');
      done();
    });
  });
  await Promise.all([...readers, other]);
  expect(passed).toEqual(['reader 0', 'reader 1', 'other work', 'reader 2', 'reader 3', 'reader 4']);
});
