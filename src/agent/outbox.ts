import { fromBinary } from '@bufbuild/protobuf';
import { type Result, ResultSchema } from '#gen/viworks/agent/v1/command_pb.js';
import type { Ledger } from './ledger.ts';

/**
 * The outbox sends RESULTs and repeats them in later sessions until they are acknowledged. Only a window of
 * them is under way at once, so that an agent that comes back with many does not flood its connection.
 */
export interface Outbox {
  /** A new session is open: everything in the ledger that is finished goes out again. */
  restart(): void;
  add(result: Result): void;
  /** Sends as much as the window allows. */
  pump(): void;
}

export interface OutboxDeps {
  ledger: Ledger;
  /** False while no session is open. */
  send(result: Result, delivered: () => void): boolean;
  bufferedBytes(): number;
}

const windowCount = 256;
const windowBytes = 1024 * 1024;
/** Places of the queue that were served before it is cut; cutting at each would cost its length each time. */
const trimAfter = 1024;

export function createOutbox(deps: OutboxDeps): Outbox {
  const { ledger } = deps;
  /** Fresh results, and names of those that are read from the ledger when their turn comes. */
  let queue: (Result | { executionId: string; attempt: number })[] = [];
  let next = 0;
  let underWay = 0;
  /** Acknowledgements of an earlier session no longer count for the window. */
  let generation = 0;

  function take(): Result | undefined {
    if (next >= trimAfter) {
      queue = queue.slice(next);
      next = 0;
    }
    while (next < queue.length) {
      const item = queue[next];
      next += 1;
      if (item === undefined) continue;
      if ('$typeName' in item) return item;
      const entry = ledger.find(item.executionId, item.attempt);
      if (entry !== undefined && entry !== 'settled' && entry.result !== undefined)
        return fromBinary(ResultSchema, entry.result);
    }
    queue = [];
    next = 0;
    return undefined;
  }

  function pump(): void {
    while (underWay < windowCount && (underWay === 0 || deps.bufferedBytes() < windowBytes)) {
      const result = take();
      if (result === undefined) return;
      const sentIn = generation;
      const sent = deps.send(result, () => {
        ledger.settled(result.executionId, result.attempt);
        if (sentIn !== generation) return;
        underWay -= 1;
        pump();
      });
      // Without a session it stays in the ledger, and restart() finds it there.
      if (!sent) return;
      underWay += 1;
    }
  }

  return {
    restart() {
      generation += 1;
      underWay = 0;
      next = 0;
      queue = [...ledger.unsettled()]
        .filter((entry) => entry.phase === 'finished')
        .map(({ executionId, attempt }) => ({ executionId, attempt }));
      pump();
    },
    add(result) {
      queue.push(result);
      pump();
    },
    pump,
  };
}
