import type { Connection } from '../protocol/connection.ts';

/** Whether a connection is read: not while anybody holds it. */
export interface Reading {
  hold(): void;
  /** Once for each hold. */
  release(): void;
}

export function createReading(connection: Pick<Connection, 'pause' | 'resume'>): Reading {
  let holds = 0;
  return {
    hold() {
      holds += 1;
      if (holds === 1) connection.pause();
    },
    release() {
      holds -= 1;
      if (holds === 0) connection.resume();
    },
  };
}
