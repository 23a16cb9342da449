import { onTestFinished } from 'vitest';
import { type Core, type CoreOptions, startCore, stopAfterTest } from './app-core.ts';
import { createTestDatabase } from './postgres.ts';

/** A core of the test's own on a database of its own. */
export async function ownCore(options: CoreOptions = {}) {
  const own = await createTestDatabase();
  onTestFinished(() => own.drop());
  let kept: Pick<Core, 'clock' | 'serverKey'> | undefined;
  const start = async () => {
    // Its clock and its key outlive a restart.
    const started = stopAfterTest(await startCore(own.url, { ...options, ...kept }));
    kept = { clock: started.clock, serverKey: started.serverKey };
    return started;
  };
  return { start, url: own.url };
}
