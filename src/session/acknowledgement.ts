import type { Inbound } from '../protocol/sequence.ts';

/** When an agent is told how much of what it said is committed. */
export interface Acknowledgement {
  /** What the next envelope tells on its way. */
  take(): bigint;
  /**
   * More is committed. One acknowledgement at the end of the tick covers all of it.
   * @param patient it may wait for an envelope to go with while the agent has more to do
   */
  due(patient: boolean): void;
}

/**
 * An agent that has at least so much more to do gets the acknowledgement of a result with the next envelope that goes
 * to it, and at the latest after this many milliseconds: a write for each costs as much as anything else that is done
 * for a command. Any other agent gets it at once.
 */
const busyWith = 4;
export const patienceMs = 100;

/**
 * @param openWork how much the agent has to do
 * @param send tells it in an envelope of its own
 */
export function createAcknowledgement(
  inbound: Pick<Inbound, 'handled'>,
  openWork: () => number,
  send: (handled: bigint) => void,
): Acknowledgement {
  let told = 0n;
  let atEndOfTick = false;
  let patience = false;

  function flush(): void {
    if (inbound.handled === told) return;
    told = inbound.handled;
    send(told);
  }

  function endOfTick(): void {
    atEndOfTick = false;
    flush();
  }

  function endOfPatience(): void {
    patience = false;
    flush();
  }

  return {
    take() {
      told = inbound.handled;
      return told;
    },
    due(patient) {
      if (atEndOfTick) return;
      if (patient && openWork() >= busyWith) {
        if (!patience) setTimeout(endOfPatience, patienceMs).unref();
        patience = true;
        return;
      }
      atEndOfTick = true;
      setImmediate(endOfTick);
    },
  };
}
