import { expect, test } from 'vitest';
import { becomes, watched as enrolled } from '../../test/support/alerts.ts';
import { startFileCore } from '../../test/support/app-core-file.ts';
import { ViworksError } from '../errors.ts';
import { createWatched } from './watched.ts';

/** What is known of agents is what the database has, whatever happens while it is read. */

const { core } = await startFileCore();
const { clock, database } = core;

/** Calls `after` with the rows of every query, before they are told. */
function rig(after: () => Promise<void>, agentsMs = 3_600_000) {
  const watched = createWatched({
    database: {
      async query(statement, values) {
        const rows = await database.query(statement, values);
        await after();
        return rows as never;
      },
    },
    clock,
    agentsMs,
  });
  return watched;
}

test.each([
  ['one by one', 3_600_000],
  ['as a whole', 0],
])('what changes while agents are read %s is read again', async (how, agentsMs) => {
  const agentId = `busy-${how.replaceAll(' ', '-')}`;
  await enrolled(core, agentId);
  let once = async () => {};
  const watched = rig(() => once(), agentsMs);
  await watched.readAgents([]);
  await becomes(core, agentId, { presence: 'offline' });
  watched.heard(agentId);
  once = async () => {
    once = async () => {};
    await becomes(core, agentId, { presence: 'online' });
    watched.heard(agentId);
  };
  await watched.readAgents([]);
  await watched.readAgents([]);
  expect(watched.get(agentId)?.presence).toBe('online');
});

test('what could not be read is read again, and told as changed until somebody looked', async () => {
  await enrolled(core, 'unread');
  let away = false;
  const watched = rig(async () => {
    if (away) throw new ViworksError('database_unavailable', 'The database cannot be reached now.');
  });
  await watched.readAgents([]);
  await becomes(core, 'unread', { maintenance: true });
  watched.heard('unread');
  away = true;
  await expect(watched.readAgents([])).rejects.toThrow('cannot be reached');
  expect(watched.changed()).toEqual([]);
  away = false;
  expect(await watched.readAgents([])).toBe(false);
  expect(watched.get('unread')?.maintenance).toBe(true);
  await watched.readAgents([]);
  expect(watched.changed()).toEqual(['unread']);
  watched.looked(['unread']);
  expect(watched.changed()).toEqual([]);
  // Also where all were to be read.
  watched.forget();
  away = true;
  await expect(watched.readAgents([])).rejects.toThrow('cannot be reached');
  away = false;
  expect(await watched.readAgents([])).toBe(true);
});
