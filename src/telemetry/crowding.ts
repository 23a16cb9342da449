/** What waits to be stored. */
export interface Waiting {
  samples: number;
  /** Of memory. */
  bytes: number;
}

const mebibyte = 1024 * 1024;
/**
 * From here on agents get less credit and keep the rest themselves: more than is soon written, and enough for the commits
 * that are under way and the next.
 */
const crowdedAt: Waiting = { samples: 30_000, bytes: 32 * mebibyte };
/** From here on there is no memory for more, whoever has it. */
const fullAtBytes = 128 * mebibyte;

/** TELEMETRY envelopes that an agent may have unacknowledged, of so many: fewer while much waits. */
export function creditFor({ samples, bytes }: Waiting, most: number): number {
  if (bytes >= fullAtBytes) return 0;
  const crowding = Math.max(samples / crowdedAt.samples, bytes / crowdedAt.bytes);
  if (crowding < 1) return most;
  return crowding < 2 ? Math.ceil(most / 4) : Math.min(most, 1);
}
