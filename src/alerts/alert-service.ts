import type { AuditTrail } from '../audit/trail.ts';
import { invalidField, ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { idForm, newId } from '../lib/ids.ts';
import { keyBefore, pageOf } from '../lib/page.ts';
import { findUnstorable, storableText } from '../lib/text.ts';
import { endSilence, findAlert, insertSilence, listAlerts, listSilences } from '../storage/alerts.ts';
import type { Database } from '../storage/database.ts';
import type { Evaluator } from './evaluator.ts';
import { alertOf, silenceOf } from './rows.ts';
import { acknowledge } from './state.ts';
import {
  type Alert,
  type AlertService,
  rank,
  type SilenceInput,
  type SilenceMatch,
  severities,
} from './types.ts';
import { maximumSilences } from './watched.ts';

/** Alerts and silences as people see them. */
export type AlertPart = Pick<
  AlertService,
  'list' | 'get' | 'acknowledge' | 'silence' | 'listSilences' | 'endSilence'
>;

export interface AlertPartDeps {
  database: Database;
  clock: Pick<Clock, 'now'>;
  change: Evaluator['change'];
  audit: Pick<AuditTrail, 'tell'>;
}

/** Milliseconds. */
const longestSilenceMs = 366 * 86_400_000;

export function createAlertPart({ database, clock, change, audit }: AlertPartDeps): AlertPart {
  const { query } = database;

  async function alertAt(alertId: string): Promise<Alert> {
    const row = await findAlert(query, alertId);
    if (row === undefined) throw new ViworksError('alert_unknown', `There is no alert ${alertId}.`);
    return alertOf(row);
  }

  async function matchOf(of: SilenceInput['of']): Promise<SilenceMatch> {
    if (!('alertId' in of)) {
      if (Object.values(of).every((part) => part === undefined))
        throw invalidField('of', 'must name at least a rule, an agent, a site or a subject');
      const text = findUnstorable(of);
      if (text !== undefined) throw invalidField(`of.${text}`, 'must be text without NUL');
      return of;
    }
    const { rule, agentId, subject } = await alertAt(of.alertId);
    return { rule, agentId, subject };
  }

  return {
    get: alertAt,

    async list({ minSeverity, ...filter }, page) {
      const text = findUnstorable(filter);
      if (text !== undefined) throw invalidField(`filter.${text}`, 'must be text without NUL');
      const atLeast = minSeverity && severities.filter((severity) => rank(severity) >= rank(minSeverity));
      const before = keyBefore(page, idForm);
      const rows = await listAlerts(query, { ...filter, severities: atLeast }, before, page.size + 1);
      const { items, nextToken } = pageOf(rows, page.size, ({ alertId }) => alertId);
      return { items: items.map(alertOf), nextToken };
    },

    async acknowledge(actor, alertId, note) {
      await change(async (_query, { draft, entry }) => {
        const found = entry(alertId);
        const by = { at: clock.now(), by: actor, note: storableText(note) };
        const next = found && acknowledge(found.status, by);
        if (found === undefined || next === undefined) {
          const { state } = await alertAt(alertId);
          throw new ViworksError('alert_state', `The alert is ${state}; one that fires can be acknowledged.`);
        }
        draft.set(found, { ...found, status: next });
      });
      return alertAt(alertId);
    },

    async silence(actor, { of, lifetimeMs, reason }) {
      if (!Number.isInteger(lifetimeMs) || lifetimeMs < 1000 || lifetimeMs > longestSilenceMs)
        throw invalidField('lifetimeMs', 'must be from a second to a year, in milliseconds');
      const { rule, agentId, site, subject } = await matchOf(of);
      const silenceId = newId();
      audit.tell({ resourceId: silenceId });
      return change(async (write, { reload }) => {
        const now = clock.now();
        if ((await listSilences(write, new Date(now), undefined, maximumSilences)).length >= maximumSilences)
          throw new ViworksError('queue_full', `There may be ${maximumSilences} silences, and there are.`);
        const row = {
          silenceId,
          rule: rule ?? null,
          agentId: agentId ?? null,
          site: site ?? null,
          subject: subject ?? null,
          reason: storableText(reason),
          createdBy: actor,
          createdAt: new Date(now),
          endsAt: new Date(now + lifetimeMs),
        };
        await insertSilence(write, row);
        reload();
        return silenceOf({ ...row, endedBy: null });
      });
    },

    async listSilences(page) {
      const after = keyBefore(page, idForm);
      const rows = await listSilences(query, new Date(clock.now()), after, page.size + 1);
      const { items, nextToken } = pageOf(rows, page.size, ({ silenceId }) => silenceId);
      return { items: items.map(silenceOf), nextToken };
    },

    endSilence: (actor, silenceId) =>
      change(async (write, { reload }) => {
        const row = await endSilence(write, silenceId, new Date(clock.now()), actor);
        if (row === undefined)
          throw new ViworksError('silence_unknown', `There is no silence ${silenceId} that counts now.`);
        reload();
        return silenceOf(row);
      }),
  };
}
