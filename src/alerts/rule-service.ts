import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { keyBefore, pageOf } from '../lib/page.ts';
import { storableJson } from '../lib/text.ts';
import {
  type AlertRuleValues,
  deleteAlertRule,
  findAlertRule,
  listAlertRules,
  saveAlertRule,
  seedOnce,
} from '../storage/alert-rules.ts';
import type { Database } from '../storage/database.ts';
import type { Evaluator } from './evaluator.ts';
import { ruleOf } from './rows.ts';
import { checkRule, seededRules } from './rules.ts';
import type { AlertService, RuleInput } from './types.ts';
import { maximumRules } from './watched.ts';

/** Rules as people see them. */
export type RuleService = Pick<AlertService, 'listRules' | 'getRule' | 'saveRule' | 'deleteRule'>;

export interface RuleServiceDeps {
  database: Database;
  clock: Pick<Clock, 'now'>;
  change: Evaluator['change'];
}

export function createRuleService({ database, clock, change }: RuleServiceDeps): RuleService {
  return {
    async listRules(page) {
      const rows = await listAlertRules(database.query, keyBefore(page), page.size + 1);
      const { items, nextToken } = pageOf(rows, page.size, ({ name }) => name);
      return { items: items.map(ruleOf), nextToken };
    },

    async getRule(name) {
      const row = await findAlertRule(database.query, name);
      if (row === undefined) throw unknownRule(name);
      return ruleOf(row);
    },

    async saveRule(actor, input, revision) {
      const values = valuesOf(input, actor);
      return change(async (query, { reload }) => {
        if (revision === undefined) await assertRoom(query);
        const saved = await saveAlertRule(query, values, revision, new Date(clock.now()));
        if (saved === undefined) throw await conflict(query, input.name, revision);
        reload();
        return ruleOf(saved);
      });
    },

    deleteRule: (name, revision) =>
      change(async (query, { reload }) => {
        if (!(await deleteAlertRule(query, name, revision))) throw await conflict(query, name, revision);
        reload();
      }),
  };
}

/** Makes the rules of the system that were never made before. */
export async function seedRules({
  database,
  clock,
}: Pick<RuleServiceDeps, 'database' | 'clock'>): Promise<void> {
  await database.transaction(async (query) => {
    const at = new Date(clock.now());
    for (const rule of seededRules) {
      if (await seedOnce(query, rule.name, at))
        await saveAlertRule(query, valuesOf(rule, 'system:alerts'), undefined, at);
    }
  });
}

const valuesOf = (input: RuleInput, updatedBy: string): AlertRuleValues => {
  const { selector, ...rule } = checkRule(input);
  return { ...rule, selector: storableJson(selector), updatedBy };
};

async function assertRoom(query: Database['query']): Promise<void> {
  if ((await listAlertRules(query, undefined, maximumRules)).length >= maximumRules)
    throw new ViworksError('queue_full', `There may be ${maximumRules} rules, and there are.`);
}

async function conflict(
  query: Database['query'],
  name: string,
  revision: number | undefined,
): Promise<ViworksError> {
  const row = await findAlertRule(query, name);
  if (row === undefined) return unknownRule(name);
  const given = revision === undefined ? 'none was given' : `${revision} was given`;
  return new ViworksError(
    'revision_conflict',
    `revision: the rule ${name} has the revision ${row.revision}, and ${given}`,
    { fields: [{ field: 'revision', problem: `must be ${row.revision}` }] },
  );
}

const unknownRule = (name: string) =>
  new ViworksError('alert_rule_unknown', `There is no rule ${JSON.stringify(name)}.`);
