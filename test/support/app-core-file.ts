import { afterAll } from 'vitest';
import { type Core, type CoreOptions, startCore } from './app-core.ts';
import { createTestDatabase, type TestDatabase } from './postgres.ts';

/** A core on a database of its own for all tests of a file; both end after them. */
export async function startFileCore(
  options: CoreOptions = {},
): Promise<{ core: Core; database: TestDatabase }> {
  const database = await createTestDatabase();
  const core = await startCore(database.url, options);
  afterAll(async () => {
    await core.stop();
    await database.drop();
  });
  return { core, database };
}
