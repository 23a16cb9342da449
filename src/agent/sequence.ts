/**
 * Sequences of one direction of a session: what came in, and up to where all of it has been dealt with. An
 * envelope may be dealt with later than those after it, but is acknowledged only together with all before it.
 */
export interface Inbound {
  /** False where the peer left a gap or repeated itself, which ends the session. */
  receive(sequence: bigint): boolean;
  /** @param sequence one that was received */
  done(sequence: bigint): void;
  /** Every envelope up to here has been dealt with. */
  readonly handled: bigint;
}

export function createInbound(): Inbound {
  let received = 0n;
  let handled = 0n;
  const early = new Set<bigint>();
  return {
    receive(sequence) {
      if (sequence !== received + 1n) return false;
      received = sequence;
      return true;
    },
    done(sequence) {
      if (sequence !== handled + 1n) {
        if (sequence > handled) early.add(sequence);
        return;
      }
      handled = sequence;
      while (early.delete(handled + 1n)) handled += 1n;
    },
    get handled() {
      return handled;
    },
  };
}

/** What was sent and is not acknowledged yet, in the order of its sequences. */
export interface Outbound {
  /** The sequence for the next envelope; `delivered` is called when the peer acknowledges it. */
  next(delivered: (() => void) | undefined): bigint;
  /** False where the peer acknowledges what was never sent, which ends the session. */
  acknowledge(upTo: bigint): boolean;
  readonly unacknowledged: number;
}

export function createOutbound(): Outbound {
  let sent = 0n;
  let acknowledged = 0n;
  const waiting = new Map<bigint, () => void>();
  return {
    next(delivered) {
      sent += 1n;
      if (delivered !== undefined) waiting.set(sent, delivered);
      return sent;
    },
    acknowledge(upTo) {
      if (upTo > sent) return false;
      // Envelopes may overtake each other's acknowledgements; an older one says nothing new.
      while (acknowledged < upTo) {
        acknowledged += 1n;
        const delivered = waiting.get(acknowledged);
        if (delivered === undefined) continue;
        waiting.delete(acknowledged);
        delivered();
      }
      return true;
    },
    get unacknowledged() {
      return Number(sent - acknowledged);
    },
  };
}
