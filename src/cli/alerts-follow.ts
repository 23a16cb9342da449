import type { AlertView } from '../api/schemas/alerts.ts';
import type { AppInputs } from '../api/trpc/router.ts';
import type { CliContext, ClientOptions } from './context.ts';
import { createKnown, startLive } from './live.ts';
import { inLine } from './terminal.ts';

/** `viworks alerts --follow`: a line for each alert that is not resolved, and for each that changes, until Ctrl-C. */
export async function followAlerts(
  context: CliContext,
  options: ClientOptions,
  input: Extract<AppInputs['live']['alerts'], object>,
): Promise<void> {
  const { terminal } = context;
  const run = startLive(context, options);
  const known = createKnown<AlertView>(
    ({ alertId }) => alertId,
    (one, other) => one.state === other.state && one.severity === other.severity && one.note === other.note,
  );
  type Alerts = {
    alerts: AlertView[];
    gone: string[];
    snapshot?: { part: number; parts: number } | undefined;
  };
  run.follow<Alerts>(
    (resume, handlers) => run.client.live.alerts.subscribe({ ...input, ...resume }, handlers),
    (data) => {
      const { changed, gone } = known.take({ ...data, items: data.alerts });
      for (const alert of changed) {
        if (options.json) terminal.json({ event: 'alert', alert });
        else terminal.line(alertLine(alert));
      }
      const resolved = changed.filter(({ state }) => state === 'resolved').map(({ alertId }) => alertId);
      known.take({ items: [], gone: resolved });
      for (const alert of gone) {
        if (options.json) terminal.json({ event: 'gone', alertId: alert.alertId });
        else terminal.line(alertLine({ ...alert, state: 'gone', updatedAt: new Date().toISOString() }));
      }
    },
  );
  await run.over;
}

function alertLine(alert: Omit<AlertView, 'state'> & { state: string }): string {
  const { updatedAt, state, severity, rule, site, agentId, subject, value, reason } = alert;
  const what = subject === '' ? agentId : `${agentId} ${inLine(subject)}`;
  const measured = value === undefined ? '' : String(Math.round(value * 100) / 100);
  const why = state === 'resolved' ? inLine(reason ?? '') : '';
  return [updatedAt, state, severity, rule, site, what, measured, why, alert.alertId]
    .filter(Boolean)
    .join('  ');
}
