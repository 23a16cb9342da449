import { Result_Outcome as Outcome } from '#gen/viworks/agent/v1/command_pb.js';
import type { Core } from './app-core.ts';
import { enrolled, type FakeAgent, type FakeSession } from './fake-agent.ts';

/** Many fake agents of one site, and everything that they were told to do. */
export interface Fleet {
  agents: FakeAgent[];
  sessions: Map<string, FakeSession>;
  site: string;
  /** Ids of the agents in the order in which they were handed something. */
  orders: string[];
  /** Orders and answers as they came and went: `+agent`, `-agent`. */
  events: string[];
  /** Resolves when so many orders came in all. */
  came(count: number): Promise<void>;
  /** Everything that came before was handed over; what is not in `orders` now did not come. */
  settled(): Promise<void>;
  /** Takes an agent to the network, or back to it. */
  connect(agent: FakeAgent, to?: Pick<Core, 'url'>): Promise<void>;
  /** Answers what an agent has, in the order in which it came, and every order that comes later too. */
  answer(agentId: string, outcome?: keyof typeof Outcome): void;
  answerAll(outcome?: keyof typeof Outcome): void;
}

type Order = Awaited<ReturnType<FakeSession['order']>>;

/** Enrols agents and connects all of them but those that are named. They are named in the order of the site. */
export async function startFleet(
  core: Core,
  site: string,
  size: number,
  offline: readonly number[] = [],
): Promise<Fleet> {
  const orders: string[] = [];
  const events: string[] = [];
  const open = new Map<string, Order[]>();
  const answers = new Map<string, keyof typeof Outcome>();
  const sessions = new Map<string, FakeSession>();
  const waiting = new Set<() => void>();
  const names = Array.from({ length: size }, (_, n) => `${site}-${String(n).padStart(3, '0')}`);
  const agents = await Promise.all(names.map((name) => enrolled(core, name, { site })));

  function settle(agentId: string): void {
    const outcome = answers.get(agentId);
    const session = sessions.get(agentId);
    if (outcome === undefined || session === undefined) return;
    for (const order of open.get(agentId)?.splice(0) ?? []) {
      events.push(`-${agentId}`);
      session.accepted(order);
      session.result(order, { outcome: Outcome[outcome] });
    }
  }

  async function listen(agentId: string, session: FakeSession): Promise<void> {
    for (;;) {
      const order = await session.order();
      orders.push(agentId);
      events.push(`+${agentId}`);
      open.set(agentId, [...(open.get(agentId) ?? []), order]);
      settle(agentId);
      for (const wake of waiting) wake();
    }
  }

  async function connect(agent: FakeAgent, to: Pick<Core, 'url'> = core): Promise<void> {
    const session = await agent.connect({ core: to });
    sessions.set(agent.agentId, session);
    // It ends with the connection.
    listen(agent.agentId, session).catch(() => {});
  }
  await Promise.all(agents.filter((_, n) => !offline.includes(n)).map((agent) => connect(agent)));

  const fleet: Fleet = {
    agents,
    sessions,
    site,
    orders,
    events,
    connect,
    async came(count) {
      while (orders.length < count) {
        await new Promise<void>((resolve) => {
          const wake = () => {
            waiting.delete(wake);
            resolve();
          };
          waiting.add(wake);
        });
      }
    },
    async settled() {
      await Promise.all([...sessions.values()].map((session) => session.beat()));
    },
    answer(agentId, outcome = 'SUCCEEDED') {
      answers.set(agentId, outcome);
      settle(agentId);
    },
    answerAll(outcome = 'SUCCEEDED') {
      for (const name of names) fleet.answer(name, outcome);
    },
  };
  return fleet;
}
