import type { AlertRuleRow } from '../storage/alert-rules.ts';
import type { AlertRow, SilenceRow } from '../storage/alerts.ts';
import type { Entry } from './book.ts';
import { type Alert, type AlertState, comparisons, type Rule, type Silence, severities } from './types.ts';

/** Between what the database has and the shapes of the core. */

const severityOf = (text: string): Rule['severity'] => severities.find((each) => each === text) ?? 'critical';
const comparisonOf = (text: string): Rule['comparison'] =>
  comparisons.find((each) => each === text) ?? 'above';
const dateOf = (ms: number | undefined): Date | null => (ms === undefined ? null : new Date(ms));

export const ruleOf = ({ severity, comparison, selector, ...row }: AlertRuleRow): Rule => ({
  ...row,
  severity: severityOf(severity),
  comparison: comparisonOf(comparison),
  selector: selector as Rule['selector'],
});

export const silenceOf = (row: SilenceRow): Silence => ({
  silenceId: row.silenceId,
  rule: row.rule ?? undefined,
  agentId: row.agentId ?? undefined,
  site: row.site ?? undefined,
  subject: row.subject ?? undefined,
  reason: row.reason,
  createdBy: row.createdBy,
  createdAt: row.createdAt,
  endsAt: row.endsAt,
  endedBy: row.endedBy ?? undefined,
});

export function alertOf(row: AlertRow): Alert {
  const { seenAt: _, clearSince: _clear, told: _told, ...rest } = row;
  return {
    ...rest,
    severity: severityOf(row.severity),
    comparison: comparisonOf(row.comparison),
    state: row.state as AlertState,
    value: row.value ?? undefined,
    firedAt: row.firedAt ?? undefined,
    resolvedAt: row.resolvedAt ?? undefined,
    reason: row.reason ?? undefined,
    acknowledgedAt: row.acknowledgedAt ?? undefined,
    acknowledgedBy: row.acknowledgedBy ?? undefined,
    note: row.note ?? undefined,
  };
}

export function rowOf({ status, storedSeenAt: _, ...facts }: Entry, updatedAt: Date): AlertRow {
  const { state, value, told, acknowledged } = status;
  return {
    ...facts,
    state,
    // JSON has no infinity.
    value: value === undefined || !Number.isFinite(value) ? null : value,
    seenAt: new Date(status.seenAt),
    pendingSince: new Date(status.pendingSince),
    firedAt: dateOf(status.firedAt),
    clearSince: dateOf(status.clearSince),
    resolvedAt: dateOf(status.resolvedAt),
    reason: status.reason ?? null,
    told,
    acknowledgedAt: dateOf(acknowledged?.at),
    acknowledgedBy: acknowledged?.by ?? null,
    note: acknowledged?.note ?? null,
    updatedAt,
  };
}

export function entryOf(row: AlertRow): Entry {
  const { acknowledgedAt, acknowledgedBy, note } = row;
  return {
    alertId: row.alertId,
    rule: row.rule,
    agentId: row.agentId,
    subject: row.subject,
    site: row.site,
    severity: severityOf(row.severity),
    metric: row.metric,
    comparison: comparisonOf(row.comparison),
    threshold: row.threshold,
    storedSeenAt: row.seenAt.getTime(),
    status: {
      state: row.state as AlertState,
      value: row.value ?? undefined,
      seenAt: row.seenAt.getTime(),
      pendingSince: row.pendingSince.getTime(),
      firedAt: row.firedAt?.getTime(),
      clearSince: row.clearSince?.getTime(),
      resolvedAt: row.resolvedAt?.getTime(),
      reason: row.reason ?? undefined,
      late: false,
      told: row.told,
      acknowledged:
        acknowledgedAt === null
          ? undefined
          : { at: acknowledgedAt.getTime(), by: acknowledgedBy ?? '', note: note ?? '' },
    },
  };
}
