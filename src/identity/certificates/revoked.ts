import type { Clock } from '../../lib/clock.ts';
import { revokedSerials } from '../../storage/certificates.ts';
import type { Database } from '../../storage/database.ts';

/** The serials of revoked certificates that are not over, as the database had them last. */
export interface RevokedCertificates {
  has(serial: string): boolean;
  /** True if there are others than before. @throws database_unavailable */
  read(): Promise<boolean>;
}

export interface RevokedCertificatesDeps {
  database: Database;
  clock: Clock;
  /** Rows of one query; all of them are read, however many there are. */
  rowsAtOnce?: number;
}

export function createRevokedCertificates({
  database,
  clock,
  rowsAtOnce = 10_000,
}: RevokedCertificatesDeps): RevokedCertificates {
  let serials: ReadonlySet<string> = new Set();
  let running: Promise<unknown> = Promise.resolve();
  let waiting: Promise<boolean> | undefined;

  async function readAll(): Promise<boolean> {
    const now = new Date(clock.now());
    const found = new Set<string>();
    for (let after = ''; ; ) {
      const rows = await revokedSerials(database.query, now, after, rowsAtOnce);
      for (const { serial } of rows) found.add(serial);
      const last = rows.at(-1);
      if (last === undefined || rows.length < rowsAtOnce) break;
      after = last.serial;
    }
    const others = found.size !== serials.size || [...found].some((serial) => !serials.has(serial));
    serials = found;
    return others;
  }

  /** One after the other, so that an older answer never takes the place of a newer one. */
  function readNext(): Promise<boolean> {
    const next = running.then(() => {
      waiting = undefined;
      return readAll();
    });
    running = next.catch(() => {});
    return next;
  }

  return {
    has: (serial) => serials.has(serial),
    // Whoever comes before a look begins shares it.
    read() {
      waiting ??= readNext();
      return waiting;
    },
  };
}
