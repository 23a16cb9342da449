import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestDatabase } from '../../../test/support/postgres.ts';
import { everyAgent, targetsSelected } from '../../storage/agents.ts';
import { type Database, statement } from '../../storage/database.ts';
import type { AgentSelector } from '../types.ts';
import { createMismatch, type Load, leastLoaded, type NamingSelector } from './selector.ts';

const sites = ['berlin', 'oslo'];
const systems = ['linux', 'darwin', ''];
const statuses = ['online', 'degraded', 'offline', 'maintenance'] as const;
const capabilities = ['exec', 'docker', 'file'];
const labelNames = ['role', 'ring'];
const labelValues = ['web', 'db', "o'hara"];

const some = <T>(items: readonly T[]) =>
  fc.option(fc.uniqueArray(fc.constantFrom(...items), { minLength: 1 }), { nil: undefined });
const selectors: fc.Arbitrary<AgentSelector> = fc.record({
  sites: some(sites),
  capabilities: some(capabilities),
  labels: fc.option(
    fc.dictionary(fc.constantFrom(...labelNames), fc.constantFrom(...labelValues), { minKeys: 1 }),
    { nil: undefined },
  ),
  os: some(systems),
  statuses: some(statuses),
});

describe('a selector', () => {
  let test: Awaited<ReturnType<typeof openTestDatabase>>;
  let database: Database;

  beforeAll(async () => {
    test = await openTestDatabase();
    database = test.database;
    // One agent of each kind there is.
    await database.query(
      statement(
        'selector_agents',
        `insert into agents (agent_id, site, labels, capabilities, os, presence, maintenance, incarnation)
         select 'a-' || row_number() over (), site, labels::jsonb, capabilities::text[], os,
           case status when 'maintenance' then 'online' else status end, status = 'maintenance', 1
         from unnest($1::text[]) site, unnest($2::text[]) os, unnest($3::text[]) status,
           unnest($4::text[]) labels, unnest($5::text[]) capabilities`,
      ),
      [
        sites,
        systems,
        statuses,
        [
          '{}',
          ...labelValues.map((value) => JSON.stringify({ role: value })),
          '{"role": "web", "ring": "db"}',
        ],
        ['{}', '{exec}', '{exec,docker}', '{file,docker,exec}'],
      ],
    );
  });

  afterAll(() => test.drop());

  it('takes the same agents in the database and in a dry run', async () => {
    const all = await everyAgent(database.query, undefined);
    expect(all).toHaveLength(2 * 3 * 4 * 5 * 4);
    await fc.assert(
      fc.asyncProperty(selectors, async (selector) => {
        const found = await targetsSelected(database.query, selector);
        const mismatch = createMismatch(selector);
        const taken = all.filter((agent) => mismatch(agent) === undefined);
        expect(found.map((row) => row.agentId)).toEqual(taken.map((row) => row.agentId));
      }),
      { numRuns: 200 },
    );
  });
});

describe('mismatch', () => {
  const agent = {
    agentId: 'a-1',
    site: 'oslo',
    labels: { role: 'db' },
    capabilities: ['exec'],
    os: 'linux',
    status: 'offline',
  } as const;
  it.each<[NamingSelector, string | undefined]>([
    [{ agents: ['a-2'], sites: ['oslo'] }, 'it is not one of those that are named'],
    [{ agents: ['a-2', 'a-1'] }, undefined],
    [{ sites: ['berlin'] }, 'its site is oslo'],
    [{ os: ['darwin'] }, 'its system is linux'],
    [{ statuses: ['online', 'degraded'] }, 'it is offline'],
    [{ capabilities: ['exec', 'docker'] }, 'it lacks the capability docker'],
    [{ labels: { ring: '1' } }, 'it has no label ring'],
    [{ labels: { role: 'web' } }, 'its label role is db'],
    [{ sites: ['berlin', 'oslo'], os: ['linux'], labels: { role: 'db' } }, undefined],
  ])('%j: %s', (selector, reason) => {
    expect(createMismatch(selector)(agent)).toBe(reason);
  });
});

describe('leastLoaded', () => {
  const loads = fc.uniqueArray(
    fc.record<Load>({
      agentId: fc.string({ minLength: 1, maxLength: 4 }),
      ready: fc.boolean(),
      connected: fc.boolean(),
      executions: fc.nat({ max: 5 }),
    }),
    { selector: (load) => load.agentId },
  );
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  it('finds one that no other is better than, whatever the chance', () => {
    fc.assert(
      fc.property(loads, random, (all, r) => {
        const chosen = leastLoaded(all, r);
        expect(chosen === undefined).toBe(all.length === 0);
        if (chosen === undefined) return;
        const ready = all.filter((load) => load.ready);
        const pool = ready.length > 0 ? ready : all;
        const connected = pool.filter((load) => load.connected);
        const best = connected.length > 0 ? connected : pool;
        expect(best).toContain(chosen);
        expect(chosen.executions).toBe(Math.min(...best.map((load) => load.executions)));
      }),
    );
  });

  it('spreads over equals', () => {
    const equals = ['a', 'b', 'c'].map((agentId) => ({
      agentId,
      ready: true,
      connected: true,
      executions: 0,
    }));
    const chosen = [0, 0.4, 0.9].map((r) => leastLoaded(equals, r)?.agentId);
    expect(chosen).toEqual(['a', 'b', 'c']);
  });
});
