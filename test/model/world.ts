import { finalStates } from '../../src/commands/types.ts';
import { createModelAgent, type Ending, type ModelAgent, type ToAgent, type ToServer } from './agent.ts';
import { createModelServer, type ModelServer } from './server.ts';

/**
 * A server, an agent, and a network between them that loses, repeats and reorders what it likes. Each action
 * is one step of something that may happen in between any two others.
 */
export type Action =
  | { do: 'submit'; verb: string; maxRetries: number; timeToLiveMs: number }
  | { do: 'take' | 'commit' | 'sweep' | 'connect' | 'break' | 'crash server' | 'restart agent' }
  | { do: 'take and die' }
  | { do: 'cancel' | 'to server' | 'to agent' | 'to agent and die'; which: number; again: boolean }
  | { do: 'finish'; which: number; ending: Ending }
  | { do: 'time'; ms: number };

export interface World {
  readonly server: ModelServer;
  readonly agent: ModelAgent;
  /** @param random in [0, 1) */
  step(action: Action, random: number): void;
  /** Everything heals and time goes on until nothing is left to do. */
  settle(): void;
}

export function createWorld(): World {
  const server = createModelServer();
  const agent = createModelAgent();
  let toAgent: ToAgent[] = [];
  let toServer: ToServer[] = [];
  let now = 1_000_000;

  function disconnect(): void {
    toAgent = [];
    toServer = [];
    server.closed();
  }

  function connect(): void {
    disconnect();
    const { account, results } = agent.hello();
    toAgent.push(...server.open(account, now));
    toServer.push(...results);
  }

  /** Takes one out of the queue, wherever it is; a repeated one stays there too. */
  function draw<T>(queue: T[], which: number, again: boolean): T | undefined {
    const at = which % Math.max(1, queue.length);
    const message = queue[at];
    if (!again) queue.splice(at, 1);
    return message;
  }

  function arriveAtAgent(which: number, again: boolean, dies: boolean): void {
    const message = draw(toAgent, which, again);
    if (message === undefined) return;
    toServer.push(...agent.receive(message, now, dies));
    if (!dies) return;
    disconnect();
    agent.restart(now);
  }

  function step(action: Action, random: number): void {
    switch (action.do) {
      case 'submit':
        return server.submit(action, now);
      case 'take':
        return void toAgent.push(...server.take(now, false));
      case 'take and die':
        server.take(now, true);
        server.crash();
        return disconnect();
      case 'commit':
        return void toAgent.push(...server.commit());
      case 'sweep':
        return server.sweep(now, random);
      case 'connect':
        return connect();
      case 'break':
        return disconnect();
      case 'crash server':
        server.crash();
        return disconnect();
      case 'restart agent':
        disconnect();
        return agent.restart(now);
      case 'cancel': {
        const row = [...server.rows.keys()][action.which % Math.max(1, server.rows.size)];
        if (row !== undefined) toAgent.push(...server.cancel(row));
        return;
      }
      case 'to server': {
        const message = draw(toServer, action.which, action.again);
        if (message !== undefined) server.receive(message, now, random);
        return;
      }
      case 'to agent':
        return arriveAtAgent(action.which, action.again, false);
      case 'to agent and die':
        return arriveAtAgent(action.which, false, true);
      case 'finish':
        return void toServer.push(...agent.finish(action.which, action.ending, now));
      case 'time':
        now += action.ms;
    }
  }

  const open = () => [...server.rows.values()].filter((row) => row.deadlineAt !== null);

  function settle(): void {
    server.commit();
    connect();
    for (let round = 0; round < 300 && open().length > 0; round++) {
      toAgent.push(...server.take(now, false));
      while (toAgent.length > 0 || toServer.length > 0) {
        arriveAtAgent(0, false, false);
        const message = toServer.shift();
        if (message !== undefined) server.receive(message, now, 0.5);
        toAgent.push(...server.commit());
      }
      toServer.push(...agent.finish(0, 'succeeded', now));
      if (toServer.length > 0) continue;
      now = Math.max(
        now,
        ...open()
          .map((row) => row.deadlineAt?.getTime() ?? 0)
          .slice(0, 1),
      );
      server.sweep(now, 0.5);
    }
  }

  return { server, agent, step, settle };
}

export const isOpen = (state: string): boolean => !finalStates.has(state as never);
