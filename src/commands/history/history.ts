import { invalidField, ViworksError } from '../../errors.ts';
import { firstIdAt, idForm } from '../../lib/ids.ts';
import { keyBefore, type Page, type PageRequest, pageOf } from '../../lib/page.ts';
import { findUnstorable } from '../../lib/text.ts';
import { commandStatistics, type StatisticsRow } from '../../storage/command-statistics.ts';
import { findCommand, listCommands } from '../../storage/commands.ts';
import type { Database } from '../../storage/database.ts';
import { listRolloutCommands } from '../../storage/rollouts.ts';
import { listExecutions } from '../../storage/stored-executions.ts';
import { readExecutions } from '../executions/read.ts';
import type { RolloutFilter } from '../rollouts/types.ts';
import { commandOf } from '../rows.ts';
import type { CommandService } from '../service.ts';
import {
  type Command,
  type CommandFilter,
  priorities,
  type Statistics,
  type StatisticsQuery,
} from '../types.ts';

/**
 * The history: commands as they were and are. A page goes on behind the last id or position of the one before,
 * which never change, so that it neither skips nor repeats what was there when the first page was read.
 */
export interface History extends Pick<CommandService, 'get' | 'list' | 'statistics'> {
  /** @throws command_unknown */
  commandAt(commandId: string): Promise<Command>;
  listRollouts(filter: RolloutFilter, page: PageRequest): Promise<Page<Command>>;
}

const positionForm = /^\d{1,9}$/;

export function createHistory({ query }: Pick<Database, 'query'>): History {
  async function commandAt(commandId: string): Promise<Command> {
    const row = await findCommand(query, commandId);
    if (row === undefined) throw new ViworksError('command_unknown', `There is no command ${commandId}.`);
    return commandOf(row);
  }

  return {
    commandAt,

    async get(commandId, page) {
      const after = Number(keyBefore(page, positionForm) ?? -1);
      const command = await commandAt(commandId);
      const rows = await listExecutions(query, commandId, after, page.size + 1);
      const { items, nextToken } = pageOf(rows, page.size, (row) => String(row.position));
      return { command, executions: { items: await readExecutions(query, items), nextToken } };
    },

    async list(filter, page) {
      checkFilter(filter);
      const before = keyBefore(page, idForm);
      const rows = await listCommands(query, storedFilter(filter), before, page.size + 1);
      const { items, nextToken } = pageOf(rows, page.size, (row) => row.commandId);
      return { items: items.map(commandOf), nextToken };
    },

    async listRollouts({ state, scope }, page) {
      const before = keyBefore(page, idForm);
      const rows = await listRolloutCommands(query, state, before, page.size + 1, scope);
      const { items, nextToken } = pageOf(rows, page.size, (row) => row.commandId);
      return { items: items.map(commandOf), nextToken };
    },

    async statistics({ by, from, to, scope }) {
      // A date that is none is neither earlier nor later.
      if (!(from < to)) throw invalidField('to', 'must be later than from');
      const [first, end] = [firstIdAt(from.getTime()), firstIdAt(to.getTime())];
      const rows = await commandStatistics(query, by, first, end, scope);
      return rows.map((row) => statisticsOf(row, by));
    },
  };
}

/** @throws invalid_request for what the database could not look for */
function checkFilter(filter: CommandFilter): void {
  const text = findUnstorable(filter);
  if (text !== undefined) throw invalidField(`filter.${text}`, 'must be text without NUL');
  for (const field of ['createdAfter', 'createdBefore'] as const)
    if (Number.isNaN(filter[field]?.getTime())) throw invalidField(`filter.${field}`, 'must be a time');
}

const storedFilter = ({ priority, ...rest }: CommandFilter) => ({
  ...rest,
  priority: priority === undefined ? undefined : priorities.indexOf(priority),
});

function statisticsOf(row: StatisticsRow, by: StatisticsQuery['by']): Statistics {
  const { key, waitP50, waitP95, runP50, runP95, runMaximum, ...counts } = row;
  return {
    ...counts,
    key: by === 'priority' ? (priorities[Number(key)] ?? key) : key,
    waitMs: waitP50 === null || waitP95 === null ? undefined : { p50: waitP50, p95: waitP95 },
    runMs:
      runP50 === null || runP95 === null || runMaximum === null
        ? undefined
        : { p50: runP50, p95: runP95, maximum: runMaximum },
  };
}
