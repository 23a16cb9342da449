import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AgentView } from '../api/schemas/agents.ts';
import type { AlertView } from '../api/schemas/alerts.ts';
import { createKnown } from './live.ts';
import { sampleLine } from './telemetry-follow.ts';
import { sortKeys, sortRows, type TopRow, topCells, topRows, topSummary } from './top-table.ts';

const agent = (agentId: string, status: AgentView['status'] = 'online') =>
  ({ agentId, site: 'berlin', status }) as AgentView;
const row = (agentId: string, values: Partial<TopRow> = {}): TopRow => ({
  agentId,
  site: 'berlin',
  status: 'online',
  alerts: 0,
  ...values,
});
const now = Date.parse('2030-01-01T00:01:00Z');
const sample = {
  agentId: 'a',
  at: '2030-01-01T00:00:00.000Z',
  receivedAt: '2030-01-01T00:00:00.000Z',
  number: 1,
  late: false,
  skewed: true,
  cpu: 12.345,
  load: 0.5,
  received: 1234,
};

test('a row has what is measured, and a dash for what is not', () => {
  const alert = (state: string) => ({ agentId: 'a', state }) as AlertView;
  const alerts = ['firing', 'acknowledged', 'pending', 'silenced'].map(alert);
  const [one, other] = topRows([agent('a'), agent('b', 'offline')], new Map([['a', sample]]), alerts);
  if (one === undefined || other === undefined) throw new Error('a row is missing');
  expect(topCells(one, now).join(' ')).toBe('a online berlin 12.3 % - - 0.50 1.2 KiB/s - 2 1m ago');
  expect(topCells(other, now).join(' ')).toBe('b offline berlin - - - - - - - none yet');
  expect(topSummary([one, other])).toBe('2 agents: 1 online, 1 offline; 2 alerts');
  expect(topSummary([])).toBe('0 agents; 0 alerts');
  expect(sampleLine(sample, 3)).toBe(
    '2030-01-01T00:00:00.000Z  a    cpu 12.3 %  memory -  disk -  load 0.50  in 1.2 KiB/s  out -  skewed',
  );
});

describe('the order', () => {
  test('is the largest first, then what is not measured', () => {
    const rows = [row('a'), row('b', { cpu: 1 }), row('c', { cpu: 99 }), row('d')];
    expect(sortRows(rows, 'cpu').map(({ agentId }) => agentId)).toEqual(['c', 'b', 'a', 'd']);
  });

  test('of statuses begins with what needs attention', () => {
    const rows = [row('a'), row('b', { status: 'offline' }), row('c', { status: 'maintenance' })];
    expect(sortRows(rows, 'status').map(({ agentId }) => agentId)).toEqual(['b', 'c', 'a']);
  });

  test('is the same whatever the order was before', () => {
    const rows = fc.uniqueArray(
      fc.record({
        agentId: fc.string({ minLength: 1, maxLength: 2 }),
        cpu: fc.option(fc.integer({ min: 0, max: 3 })),
      }),
      { selector: ({ agentId }) => agentId, maxLength: 20 },
    );
    fc.assert(
      fc.property(rows, fc.constantFrom(...sortKeys), (given, key) => {
        const made = given.map(({ agentId, cpu }) => row(agentId, { cpu: cpu ?? undefined }));
        expect(sortRows([...made].reverse(), key)).toEqual(sortRows([...made], key));
      }),
    );
  });
});

test('what a new snapshot does not have is gone, and what it has as before is no change', () => {
  const known = createKnown<AgentView>(
    ({ agentId }) => agentId,
    (one, other) => one.status === other.status,
  );
  const take = (parts: [number, number] | undefined, agents: AgentView[], gone: string[] = []) => {
    const snapshot = parts && { part: parts[0], parts: parts[1] };
    const { changed, gone: left } = known.take({ snapshot, items: agents, gone });
    return [changed.map(({ agentId }) => agentId), left.map(({ agentId }) => agentId)];
  };
  expect(take([1, 2], [agent('a')])).toEqual([['a'], []]);
  expect(known.complete).toBe(false);
  expect(take([2, 2], [agent('b'), agent('c')])).toEqual([['b', 'c'], []]);
  expect(known.complete).toBe(true);
  expect(take(undefined, [agent('b', 'offline')], ['c', 'unknown'])).toEqual([['b'], ['c']]);
  expect(take([1, 1], [agent('b', 'offline'), agent('d')])).toEqual([['d'], ['a']]);
});
