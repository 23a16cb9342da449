import { expect, test } from 'vitest';
import { startFileCore } from '../../../test/support/app-core-file.ts';
import { enrolled } from '../../../test/support/fake-agent.ts';
import { startFleet } from '../../../test/support/fleet.ts';
import { type Database, statement } from '../../storage/database.ts';
import { applyExecutionChanges } from '../../storage/execution-changes.ts';
import { type OrderRow, takeDueExecutions } from '../../storage/executions.ts';
import { transitionRow } from '../rows.ts';

/** How exactly a stop stops, against everything that could let one more execution slip through. */

const { core } = await startFileCore({ database: { maxConnections: 12 } });

const agentCount = 60;

const sentRows = statement(
  'test_sent',
  `select execution_id || ' ' || revision as id from executions where command_id = $1 and state = 'sent' order by 1`,
);
const countQueued = statement(
  'test_queued',
  `select count(*)::int as n from executions where command_id = $1 and state = 'queued'`,
);

/** Takes what is due for some agents, as the dispatcher of an instance does, whether they are connected or not. */
const take = (query: Database['query'], agents: readonly string[]): Promise<OrderRow[]> =>
  takeDueExecutions(
    query,
    agents.map((agentId) => ({ agentId, incarnation: 1, epoch: 0, credit: 1 })),
    {
      now: new Date(core.clock.now()),
      deadline: new Date(core.clock.now() + 30_000),
      transition: transitionRow('sent', 'taken by the test', core.clock.now()),
    },
    [],
  );

const giveBack = (orders: readonly OrderRow[]) =>
  applyExecutionChanges(
    core.database.query,
    orders.map((order) => ({
      executionId: order.executionId,
      from: ['sent'],
      epoch: order.epoch,
      transitions: [transitionRow('queued', 'given back by the test', core.clock.now())],
      deadlineAt: order.expiresAt,
    })),
  );

test('when a pause or an abort has returned, no execution becomes sent any more, whatever takes and gives back meanwhile', async () => {
  const agents = Array.from({ length: agentCount }, (_, n) => `race-${String(n).padStart(3, '0')}`);
  await Promise.all(agents.map((agentId) => enrolled(core, agentId, { site: 'race' })));
  const { commandId } = await core.engine.submit('tester', {
    verb: 'exec',
    args: { argv: ['true'] },
    target: { site: 'race' },
    rollout: { canary: 0, batch: { agents: agentCount } },
  });
  const read = async () =>
    (await core.database.query<{ id: string }>(sentRows, [commandId])).map((row) => row.id);
  let takenInAll = 0;
  /**
   * The round whose pause has returned, until its resume begins: a take that begins and ends in between must
   * find nothing. One that ends later may have waited for its connection until after the resume.
   */
  let closed: number | undefined;
  let takesWhileClosed = 0;
  let ended = false;
  const slipped: OrderRow[] = [];

  const takers = [0, 1, 2, 3].map(async (part) => {
    const mine = agents.filter((_, n) => n % 4 === part || n % 7 === part);
    let kept: OrderRow[] = [];
    while (!ended) {
      const begun = closed;
      const orders = await take(core.database.query, mine);
      takenInAll += orders.length;
      if (begun !== undefined && begun === closed) {
        takesWhileClosed += 1;
        slipped.push(...orders);
      }
      // It comes back as from sessions that broke, half of it at once and half of it later.
      const now = orders.filter((_, n) => n % 2 === part % 2);
      await giveBack([...kept, ...now]);
      kept = orders.filter((order) => !now.includes(order));
    }
  });

  async function pauseAndResume(): Promise<void> {
    for (let round = 0; round < 25; round++) {
      // Now among the first takes after the resume, now among the last.
      for (let n = 0; n < round % 5; n++) {
        await core.database.query(countQueued, [commandId]);
        // Somebody ends maintenance in between, which queues what waited for it.
        await core.agents.setMaintenance(agents[n] ?? '', round % 2 === 0, 'x');
      }
      const last = round === 24;
      if (last) await core.engine.abortRollout('tester', commandId, '', { stopRunning: false });
      else await core.engine.pauseRollout('tester', commandId, '');
      const before = await read();
      closed = round;
      takesWhileClosed = 0;
      for (let n = 0; takesWhileClosed < 12; n++) {
        const [queued] = await core.database.query<{ n: number }>(countQueued, [commandId]);
        expect(queued).toEqual({ n: 0 });
        await core.agents.setMaintenance(agents[round] ?? '', n % 2 === 0, 'x');
      }
      // Those that are sent were sent before; the others of them were given back since.
      expect(before).toEqual(expect.arrayContaining(await read()));
      closed = undefined;
      if (last) break;
      // What was given back is all let go again.
      await core.engine.resumeRollout('tester', commandId, { force: false });
    }
  }

  await pauseAndResume().finally(() => {
    ended = true;
    return Promise.all(takers);
  });
  expect(slipped).toEqual([]);
  expect(takenInAll).toBeGreaterThan(100);
}, 60_000);

test('what was taken before a pause and is on its way to its session when the pause commits is given back', async () => {
  const fleet = await startFleet(core, 'midway', 2);
  const real = core.database.query;
  const [taken, paused] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  // The answer of the database comes late; what it says is true.
  core.database.query = async (wanted, values) => {
    const rows = await real<never>(wanted, values);
    if (wanted.name !== 'executions_take' || rows.length === 0) return rows;
    taken.resolve();
    await paused.promise;
    return rows;
  };
  const { commandId } = await core.engine.submit('tester', {
    verb: 'exec',
    args: { argv: ['true'] },
    target: { site: 'midway' },
    rollout: {},
  });
  await taken.promise;
  const command = await core.engine.pauseRollout('tester', commandId, '');
  expect(command.counts).toEqual({ sent: 1, held: 1 });
  core.database.query = real;
  paused.resolve();
  for await (const { command } of core.engine.watch(commandId, undefined, new AbortController().signal)) {
    if (command.counts.held === 2) break;
  }
  await fleet.settled();
  expect(fleet.orders).toEqual([]);
  fleet.answerAll();
  await core.engine.resumeRollout('tester', commandId, { force: false });
  await fleet.came(2);
});

test('nothing goes while the command waits for its approval', async () => {
  const fleet = await startFleet(core, 'approval', 3);
  const { commandId } = await core.engine.submit('tester', {
    verb: 'exec',
    args: { argv: ['true'] },
    target: { site: 'approval' },
    rollout: { batch: { agents: 1 } },
  });
  await fleet.came(1);
  await core.engine.pauseRollout('tester', commandId, '');
  const hold = statement(
    'test_hold',
    `update executions set hold = $2 where command_id = $1 and state = 'held' returning position`,
  );
  await core.database.query(hold, [commandId, 'approval']);
  await core.engine.resumeRollout('tester', commandId, { force: false });
  fleet.answerAll();
  for await (const { command } of core.engine.watch(commandId, undefined, new AbortController().signal)) {
    if (command.counts.succeeded === 1) break;
  }
  // A decision that lets something go would come before the answer to this.
  const resumed = await core.engine.resumeRollout('tester', commandId, { force: false });
  expect(resumed.rollout).toMatchObject({ state: 'running', released: 1 });
  expect(fleet.orders).toEqual(['approval-000']);
  await core.database.query(hold, [commandId, 'rollout']);
  core.bus.publish('command.changed', commandId);
  await fleet.came(3);
});
