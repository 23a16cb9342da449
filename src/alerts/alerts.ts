import type { AuditTrail } from '../audit/trail.ts';
import { ViworksError } from '../errors.ts';
import { createCleaner } from '../lib/cleaner.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { createTurns } from '../lib/turns.ts';
import { forgetDeliveries } from '../storage/alert-deliveries.ts';
import { forgetAlerts } from '../storage/alerts.ts';
import type { Database } from '../storage/database.ts';
import { createAlertPart } from './alert-service.ts';
import { createEvaluator, type Evaluator } from './evaluator.ts';
import {
  createNotifier,
  type Notifier,
  type NotifierSettings,
  notifierDefaults,
} from './notifier/notifier.ts';
import { createWebhooks, type SecretBox } from './notifier/webhooks.ts';
import { createRuleService, seedRules } from './rule-service.ts';
import type { AlertService } from './types.ts';

/** Rules, the alerts that come of them, and who is told. */
export interface Alerts
  extends AlertService,
    Pick<Evaluator, 'onStored' | 'onAgent' | 'onChanged' | 'look'>,
    Pick<Notifier, 'group' | 'deliver'> {
  /** Makes the rules of the system, then looks and tells until it is stopped. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface AlertsDeps {
  database: Database;
  /** Seals the secrets of webhooks. */
  box: SecretBox;
  clock: Pick<Clock, 'now'>;
  log: Logger;
  metrics: Pick<Metrics, 'alertTransitions' | 'alertSamplesSkipped' | 'alertsOpen' | 'alertDeliveries'>;
  /** The calls of people. */
  audit: Pick<AuditTrail, 'tell'>;
  settings: Partial<NotifierSettings> & {
    /** Milliseconds that alerts and messages are kept after they ended; 0 keeps them for ever. */
    keepMs: number;
    tickMs?: number;
    agentsMs?: number;
  };
}

const cleanEveryMs = 600_000;
const rowsAtOnce = 500;

export function createAlerts(deps: AlertsDeps): Alerts {
  const { database, box, clock, log, metrics, audit, settings } = deps;
  const { keepMs, tickMs, agentsMs, ...others } = settings;
  const notifierSettings = { ...notifierDefaults, ...others };
  const notifier = createNotifier({ database, box, clock, log, metrics, settings: notifierSettings });
  const turns = createTurns();
  const evaluator = createEvaluator({
    database,
    clock,
    log,
    metrics,
    turns,
    onNotice: notifier.wake,
    tickMs,
    agentsMs,
  });
  const { change } = evaluator;
  const { clearText } = notifierSettings;
  const cleaner = createCleaner({
    intervalMs: cleanEveryMs,
    batchesAtOnce: 100,
    async cleanSome() {
      const before = new Date(clock.now() - keepMs);
      const alerts = await forgetAlerts(database.query, before, rowsAtOnce);
      const messages = await forgetDeliveries(database.query, before, rowsAtOnce);
      return { count: alerts + messages, more: Math.max(alerts, messages) >= rowsAtOnce };
    },
    cleaned: (count) => log.info({ count }, 'alerts and messages of long ago are forgotten'),
    failed: (error) =>
      log.warn({ err: ViworksError.from(error) }, 'cannot forget alerts and messages of long ago now'),
  });

  return {
    ...createAlertPart({ database, clock, change, audit }),
    ...createRuleService({ database, clock, change }),
    ...createWebhooks({ database, box, clock, clearText, wake: notifier.wake }),
    onStored: evaluator.onStored,
    onAgent: evaluator.onAgent,
    onChanged: evaluator.onChanged,
    look: evaluator.look,
    group: notifier.group,
    deliver: notifier.deliver,
    async start() {
      await seedRules({ database, clock });
      evaluator.start();
      notifier.start();
      if (keepMs > 0) cleaner.start();
    },
    async stop() {
      await cleaner.stop();
      await evaluator.stop();
      await notifier.stop();
    },
  };
}
