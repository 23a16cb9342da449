import { ViworksError } from '../errors.ts';

/**
 * TELEMETRY envelopes that an agent may have unacknowledged. It begins with one, and has twice as many each time that it
 * used all that it has: of many who come back with a backlog at once, each says little before it is known how much they say
 * together. Who has little to say stays with little.
 */
export interface TelemetryCredit {
  /**
   * An envelope came. The returned function is called when it is stored, or never will be.
   * @param several whether there is more than one sample in it: then others wait with the agent
   * @throws protocol_violation where there are more than any agent may have
   */
  begin(several: boolean): () => void;
  /** Now and then: there may be less to have than before, or something where there was nothing. */
  look(): void;
}

/** Envelopes that may be unacknowledged at once. */
export const telemetryCredit = 16;

/** In WELCOME, which knows no 0: whoever opens a session may always say one. */
export const firstTelemetryCredit = 1;

export interface TelemetryCreditDeps {
  /** How many an agent may have now, of so many. */
  allowed(most: number): number;
  /** Tells the agent, which was told another number before. */
  tell(credit: number): void;
}

export function createTelemetryCredit({ allowed, tell }: TelemetryCreditDeps): TelemetryCredit {
  let granted: number = firstTelemetryCredit;
  let underWay = 0;
  /** Counts what the agent was told. */
  let changes = 0;
  /** Envelopes that were stored since then, while the agent had more to say. */
  let used = 0;

  function grant(wanted: number): void {
    const credit = Math.min(wanted, allowed(telemetryCredit));
    if (credit === granted) return;
    granted = credit;
    changes += 1;
    used = 0;
    tell(credit);
  }

  return {
    begin(several) {
      // What left before the agent heard of less is taken.
      if (underWay >= telemetryCredit) {
        const text = `telemetry: more than ${telemetryCredit} envelopes are unacknowledged.`;
        throw new ViworksError('protocol_violation', text);
      }
      underWay += 1;
      const began = changes;
      grant(granted);
      return () => {
        // What came under earlier terms says nothing of these: after an outage much of it is stored at once.
        if (began === changes && (several || underWay >= granted)) used += 1;
        underWay -= 1;
        grant(used >= granted ? 2 * granted : granted);
      };
    },
    look() {
      // With nothing under way nothing else would give back what was taken.
      grant(Math.max(1, granted));
    },
  };
}
