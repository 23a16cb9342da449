import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { callLimitsOf } from '../../src/app/call-limits.ts';
import { configSchema } from '../../src/config/schema.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createResources } from '../../src/lib/resources.ts';
import { type ApiApp, startApiApp } from '../support/api-app.ts';
import { startRedis } from '../support/redis.ts';

/** The limits of a whole control plane: by configuration, by token, and not to be lifted in the database. */

let app: ApiApp;

beforeAll(async () => {
  app = await startApiApp({ rate_limit_requests: 5, rate_limit_failures: 4, rate_limit_local: true });
});

afterAll(() => app.stop());

async function granted(token: string, calls: number): Promise<number> {
  const answers = await Promise.all(
    Array.from({ length: calls }, () =>
      fetch(`${app.url}/trpc/agents.list`, { headers: { authorization: `Bearer ${token}` } }),
    ),
  );
  return answers.filter(({ status }) => status === 200).length;
}

test('a client gets as much as is configured, a service token as much as it was given', async () => {
  expect(await granted(await app.tokenFor('viewer'), 10)).toBe(5);
  const { tokens } = await app.client();
  const made = await tokens.create.mutate({ name: 'shop', role: 'viewer', rateLimit: 8 });
  expect(made.details.rateLimit).toBe(8);
  expect(await granted(made.token, 20)).toBe(8);
  const free = await tokens.create.mutate({ name: 'backend', role: 'viewer', rateLimit: 0 });
  expect(await granted(free.token, 50)).toBe(50);
  const listed = await tokens.list.query({});
  expect(listed.tokens.map(({ name, rateLimit }) => [name, rateLimit])).toEqual([
    ['backend', 0],
    ['shop', 8],
  ]);
});

test.each([
  ['raised', 8, 'update service_tokens set rate_limit = 1000000 where token_id = $1'],
  ['lifted', 8, 'update service_tokens set rate_limit = null where token_id = $1'],
  ['given', undefined, 'update service_tokens set rate_limit = 0 where token_id = $1'],
])('a limit that is %s in the database grants nothing', async (name, rateLimit, text) => {
  const { tokens } = await app.client();
  const made = await tokens.create.mutate({ name, role: 'viewer', rateLimit });
  expect(await granted(made.token, 1)).toBe(1);
  await app.query(`tamper_${name}`, text, [made.details.tokenId]);
  // A check is good for two seconds.
  await expect.poll(() => granted(made.token, 1), { timeout: 10_000, interval: 1_100 }).toBe(0);
});

test('instances with one Redis limit a client together', async () => {
  const redis = await startRedis();
  if (redis === undefined) {
    // biome-ignore lint/suspicious/noConsole: a test that did not run must not look like one that passed
    console.warn('*** Limits in Redis were NOT tested. *** It needs redis-server (Debian: redis-server).');
    return;
  }
  onTestFinished(() => redis.stop());
  const config = configSchema.parse({
    server: { mode: 'production' },
    security: { rate_limit_requests: 6 },
    redis: { url: redis.url },
  });
  const resources = createResources(silentLogger);
  onTestFinished(resources.stop);
  const instances = [0, 1].map(() => callLimitsOf(config, resources, silentLogger));
  const granted = async (tokenId: string, calls: number): Promise<number> => {
    const actor = { subject: 'shop', role: 'viewer' as const, tokenId };
    let count = 0;
    for (let n = 0; n < calls; n++) {
      const refused = await instances[n % 2]?.countCall(actor, '127.0.0.1', () => {}).catch(String);
      if (refused === undefined) count += 1;
    }
    return count;
  };
  // Both are connected when what one counted is known to the other.
  await expect.poll(() => granted(`probe ${performance.now()}`, 12)).toBe(6);
  expect(await granted('one token', 20)).toBe(6);
  expect(await granted('another', 20)).toBe(6);
});

test('refusals stand in the audit log, counted', async () => {
  const token = await app.tokenFor('viewer', undefined, 'eager');
  await granted(token, 40);
  const refusals = () =>
    app.query(
      'refusals',
      `select action, code from audit_entries where actor = 'eager' and outcome = 'refused'`,
    );
  // One at once; the others are counted, and their count follows after a minute.
  await expect.poll(refusals).toEqual([{ action: 'agents.list', code: 'rate_limited' }]);
});
