import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { telemetryCredit } from '../../src/session/telemetry-credit.ts';
import { statement } from '../../src/storage/database.ts';
import { ownCore } from '../support/app-core-own.ts';
import { connected, type FakeSession } from '../support/fake-agent.ts';
import { lockTable } from '../support/postgres.ts';
import { sampleAt } from '../support/telemetry.ts';

/** Telemetry over real sessions: acknowledged when it is committed, and held back where it cannot be. */

const countSamples = statement('test_samples', 'select count(*)::int as n from telemetry_samples');

function say(session: FakeSession, at: number, first: number, count: number): bigint {
  const samples = Array.from({ length: count }, (_, n) => sampleAt(first + n, at + n));
  return session.send({ case: 'telemetry', value: create(TelemetrySchema, { samples }) });
}

test('while the database takes nothing, agents stay, are told to hold back, and lose nothing', {
  timeout: 60_000,
}, async () => {
  const own = await ownCore();
  const core = await own.start();
  const { database, clock, telemetry } = core;
  const names = Array.from({ length: 20 }, (_, n) => `agent-${n}`);
  const sessions = await Promise.all(names.map(async (name) => (await connected(core, name)).session));
  // Each has shown that it has much to say, and may say it.
  await Promise.all(
    sessions.map(async (session) => {
      expect(session.welcome.limits?.telemetryCredit).toBe(1);
      let said = 0;
      for (let credit = 1; credit !== telemetryCredit; credit = (await session.next('credit')).telemetry ?? 0)
        for (let n = 0; n < credit; n++, said += 2) say(session, clock.now(), said + 1, 2);
      expect(said).toBe(30);
    }),
  );
  const lock = await lockTable(own.url, 'telemetry_samples');
  const last = sessions.map((session) => {
    let sequence = 0n;
    for (let n = 0; n < telemetryCredit; n++) sequence = say(session, clock.now(), 100 + n * 100, 100);
    return sequence;
  });
  // Heartbeats are answered meanwhile, and whoever says more is told to say less.
  await Promise.all(sessions.map((session) => session.beat()));
  const credit = await Promise.race(sessions.map((session) => session.next('credit')));
  // As much as waits decides whether that is a quarter, or one at a time.
  expect(credit.telemetry).toBeLessThanOrEqual(telemetryCredit / 4);
  expect((await telemetry.latest.list()).filter(({ number }) => number > 30)).toEqual([]);
  await lock.release();
  await Promise.all(sessions.map((session, n) => session.acknowledged(last[n] ?? 0n)));
  const [row] = await database.query<{ n: number }>(countSamples, []);
  expect(row?.n).toBe(names.length * (30 + telemetryCredit * 100));
  expect(sessions.every((session) => !session.heard.includes('error'))).toBe(true);
  expect(await telemetry.latest.list()).toHaveLength(names.length);
});

test('while there is no memory for more nobody may say anything, and then everybody again', async () => {
  let allowed = 0;
  const own = await ownCore({ telemetryCredit: (most) => Math.min(most, allowed) });
  const core = await own.start();
  const names = ['alpha', 'beta'];
  const sessions = await Promise.all(names.map(async (name) => (await connected(core, name)).session));
  // WELCOME knows no 0.
  for (const session of sessions) expect(session.welcome.limits?.telemetryCredit).toBe(1);
  const creditOf = async (session: FakeSession) => (await session.next('credit')).telemetry;
  expect(await Promise.all(sessions.map(creditOf))).toEqual([0, 0]);
  allowed = telemetryCredit;
  expect(await Promise.all(sessions.map(creditOf))).toEqual([1, 1]);
});

test('what was acknowledged is there after a restart, and what is sent again is stored once', async () => {
  const own = await ownCore();
  const first = await own.start();
  const { agent, session } = await connected(first, 'alpha');
  await session.acknowledged(say(session, first.clock.now(), 1, 10));
  await first.stop();
  const second = await own.start();
  expect(await second.telemetry.latestJson('alpha')).toMatchObject({ number: '10' });
  const again = await agent.connect({ core: second });
  await again.acknowledged(say(again, second.clock.now(), 1, 20));
  const shown = await second.agents.get('alpha');
  expect(shown.telemetry).toMatchObject({ number: '20' });
});

test('an agent that is removed is forgotten with all that it measured', async () => {
  const core = await (await ownCore()).start();
  const { session } = await connected(core, 'alpha');
  const { session: other } = await connected(core, 'beta');
  await session.acknowledged(say(session, core.clock.now(), 1, 5));
  await other.acknowledged(say(other, core.clock.now(), 1, 5));
  await core.agents.revoke('ada', 'alpha', '');
  await core.agents.remove('ada', 'alpha');
  const [row] = await core.database.query<{ n: number }>(countSamples, []);
  expect(row?.n).toBe(5);
  expect((await core.telemetry.latest.list()).map(({ agentId }) => agentId)).toEqual(['beta']);
});
