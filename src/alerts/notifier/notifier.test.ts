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

/** Counts the statements of its notifier by their names. */
function rig(settings: Partial<NotifierSettings> = {}) {
  const asked = new Map<string, number>();
  const notifier = createNotifier({
    database: {
      ...core.database,
      query(statement, values) {
        asked.set(statement.name, (asked.get(statement.name) ?? 0) + 1);
        return core.database.query(statement, values);
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
  return { notifier, asked: (name: string) => asked.get(name) ?? 0 };
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
  const { notifier, asked } = rig({ retry: { baseMs: 2000, maximumMs: 2000 } });
  notifier.start();
  await hook.until(3);
  expect(hook.received.map(({ body }) => body)).toEqual(['firing', 'firing', 'resolved']);
  // Its waits are a second and more.
  expect(asked('alert_deliveries_next')).toBeLessThan(12);
});

test('a webhook gets no more at once than it may, whatever is under way', async () => {
  const answers: (() => void)[] = [];
  let open = 0;
  let most = 0;
  const hook = await receiver(async () => {
    open += 1;
    most = Math.max(most, open);
    await new Promise<void>((answer) => answers.push(answer));
    open -= 1;
    return 204;
  });
  const add = await webhook('patient', hook.url);
  const { notifier } = rig();
  for (let count = 0; count < 3; count++) await add(`first-${count}`);
  const delivered = notifier.deliver();
  await hook.until(3);
  for (let count = 0; count < 8; count++) await add(`more-${count}`);
  notifier.start();
  for (let count = 4; count <= 11; count++) {
    await hook.until(count);
    answers.shift()?.();
  }
  for (const answer of answers) answer();
  await delivered;
  expect(most).toBe(4);
});
