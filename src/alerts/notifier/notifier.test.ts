import { expect, onTestFinished, test } from 'vitest';
import { alertsOn, receiver } from '../../../test/support/alerts.ts';
import { startFileCore } from '../../../test/support/app-core-file.ts';
import { systemClock } from '../../lib/clock.ts';
import { newId } from '../../lib/ids.ts';
import { silentLogger } from '../../lib/logger.ts';
import { insertDelivery } from '../../storage/alert-deliveries.ts';
import { createNotifier, type NotifierSettings, notifierDefaults } from './notifier.ts';

/** How messages are delivered: what waits, how often somebody looks, and how many at once. */

const { core } = await startFileCore();

/** Tells of the statements of its notifier, with how many rows came. */
function rig(settings: Partial<NotifierSettings> = {}, answered = (_name: string, _rows: number) => {}) {
  const notifier = createNotifier({
    database: {
      ...core.database,
      async query(statement, values) {
        const rows = await core.database.query(statement, values);
        answered(statement.name, rows.length);
        return rows as never;
      },
    },
    // As it is where the webhook was added: nothing is sealed.
    box: { open: (_context, sealed) => sealed },
    clock: systemClock,
    log: silentLogger,
    metrics: core.metrics,
    settings: { ...notifierDefaults, ...settings },
  });
  onTestFinished(() => notifier.stop());
  return notifier;
}

async function webhook(name: string, url: string) {
  const alerts = alertsOn(
    core,
    {},
    { seal: (_context, content) => content, open: (_context, sealed) => sealed },
  );
  await alerts.addWebhook('ada', { name, url });
  onTestFinished(() => alerts.removeWebhook(name));
  return (rule: string, body = '{}') => {
    const message = { deliveryId: newId(), webhook: name, rule, site: 'berlin', body };
    return insertDelivery(core.database.query, message, new Date(), 1000);
  };
}

test('while a message waits to be tried again, what waits behind it is not asked for again and again', async () => {
  const hook = await receiver((_request, count) => (count === 1 ? 500 : 204));
  const add = await webhook('slow', hook.url);
  await add('disk', 'firing');
  await add('disk', 'resolved');
  let looks = 0;
  const notifier = rig({ retry: { baseMs: 2000, maximumMs: 2000 } }, (name) => {
    if (name === 'alert_deliveries_next') looks += 1;
  });
  notifier.start();
  await hook.until(3);
  expect(hook.received.map(({ body }) => body)).toEqual(['firing', 'firing', 'resolved']);
  // Its waits are a second and more.
  expect(looks).toBeLessThan(12);
});

test('a webhook gets no more at once than it may, whatever is under way', async () => {
  const held = Promise.withResolvers<number>();
  const hook = await receiver(() => held.promise);
  const add = await webhook('patient', hook.url);
  let begun = 0;
  const full = Promise.withResolvers<void>();
  const notifier = rig({}, (name, rows) => {
    if (name !== 'alert_deliveries_claim') return;
    begun += rows;
    if (rows === 0 && begun > 3) full.resolve();
  });
  for (let count = 0; count < 3; count++) await add(`first-${count}`);
  const delivered = notifier.deliver();
  await hook.until(3);
  for (let count = 0; count < 8; count++) await add(`more-${count}`);
  notifier.start();
  await full.promise;
  expect(begun).toBe(4);
  held.resolve(204);
  await delivered;
  await hook.until(11);
});
