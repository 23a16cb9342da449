import type { CommandService } from '../commands/service.ts';
import type { SubmitInput } from '../commands/types.ts';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { defined } from '../lib/defined.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { keyBefore, pageOf } from '../lib/page.ts';
import { storableJson, storableText } from '../lib/text.ts';
import type { RowBinding } from '../storage/bound-rows.ts';
import type { Database } from '../storage/database.ts';
import {
  deleteTemplate,
  findTemplate,
  listTemplates,
  saveTemplate,
  type TemplateRow,
} from '../storage/templates.ts';
import { checkTemplate, renderTemplate } from './render.ts';
import type { Template, TemplateService } from './types.ts';

/** Templates in the database. */

export interface TemplatesDeps {
  database: Database;
  commands: Pick<CommandService, 'submit'>;
  /** Whether a command could be submitted, apart from its agents. @throws verb_unknown, invalid_args */
  check: (input: SubmitInput) => void;
  clock: Pick<Clock, 'now'>;
  binding: RowBinding;
  metrics: Pick<Metrics, 'rowsForged'>;
  log: Logger;
}

export function createTemplates(deps: TemplatesDeps): TemplateService {
  const { database, commands, check, clock, binding, metrics, log } = deps;
  const { query } = database;

  async function rowOf(name: string): Promise<TemplateRow> {
    const row = await findTemplate(query, name);
    if (row === undefined) throw unknown(name);
    return row;
  }

  /** Only what was saved here is run. @throws template_unknown, not_authentic */
  async function trusted(name: string): Promise<Template> {
    const row = await rowOf(name);
    if (binding.holds('templates', boundValues(row), row.binding)) return templateOf(row);
    metrics.rowsForged.inc({ table: 'templates' });
    log.error({ template: name }, 'a template that was not saved here is not run');
    const what = `The template ${name} was not saved here, or altered since: it is not run.`;
    throw new ViworksError('not_authentic', `${what} Save it anew.`);
  }

  const render: TemplateService['render'] = async (name, use) => {
    const input = renderTemplate(await trusted(name), use);
    check(input);
    return input;
  };

  return {
    get: async (name) => templateOf(await rowOf(name)),
    render,

    async list(page, scope) {
      const after = keyBefore(page);
      const rows = await listTemplates(query, after, page.size + 1, scope);
      const { items, nextToken } = pageOf(rows, page.size, (row) => row.name);
      return { items: items.map(templateOf), nextToken };
    },

    async save(actor, { name, description = '', parameters, command }, revision) {
      checkTemplate({ parameters, command }, check);
      const row = {
        name,
        description: storableText(description),
        parameters: storableJson(parameters),
        command: storableJson(command),
        updatedBy: actor,
      };
      // Over what will be read, and not over what is written: the two differ in what JSON leaves out.
      const read = { parameters: JSON.parse(row.parameters), command: JSON.parse(row.command) };
      const bound = boundValues({ ...row, ...read, revision: (revision ?? 0) + 1 });
      const saved = await saveTemplate(
        query,
        { ...row, binding: binding.bind('templates', bound) },
        revision,
        new Date(clock.now()),
      );
      if (saved === undefined) throw await conflict(name, revision);
      return templateOf(saved);
    },

    async delete(name, revision) {
      if (!(await deleteTemplate(query, name, revision))) throw await conflict(name, revision);
    },

    async run(actor, name, use, options) {
      const input = await render(name, use);
      // What is not set does not hide what the template says.
      return commands.submit(actor, { ...input, ...defined(options), origin: `template:${name}` });
    },
  };

  async function conflict(name: string, revision: number | undefined): Promise<ViworksError> {
    const row = await findTemplate(query, name);
    if (row === undefined) return unknown(name);
    const given = revision === undefined ? 'none was given' : `${revision} was given`;
    return new ViworksError(
      'revision_conflict',
      `revision: the template ${name} has the revision ${row.revision}, and ${given}`,
      { fields: [{ field: 'revision', problem: `must be ${row.revision}` }] },
    );
  }
}

const unknown = (name: string) => new ViworksError('template_unknown', `There is no template ${name}.`);

/** All of a template that decides what it submits. */
const boundValues = ({
  name,
  parameters,
  command,
  revision,
}: Pick<TemplateRow, 'name' | 'parameters' | 'command' | 'revision'>) => ({
  name,
  parameters,
  command,
  revision,
});

function templateOf({ parameters, command, binding: _, ...rest }: TemplateRow): Template {
  return {
    ...rest,
    parameters: parameters as Template['parameters'],
    command: command as Template['command'],
  };
}
