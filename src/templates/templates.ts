import type { CommandService } from '../commands/service.ts';
import type { SubmitInput } from '../commands/types.ts';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { defined } from '../lib/defined.ts';
import { keyBefore, pageOf } from '../lib/page.ts';
import { storableJson, storableText } from '../lib/text.ts';
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
}

export function createTemplates({ database, commands, check, clock }: TemplatesDeps): TemplateService {
  const { query } = database;

  async function get(name: string): Promise<Template> {
    const row = await findTemplate(query, name);
    if (row === undefined) throw unknown(name);
    return templateOf(row);
  }

  const render: TemplateService['render'] = async (name, use) => {
    const input = renderTemplate(await get(name), use);
    check(input);
    return input;
  };

  return {
    get,
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
      const saved = await saveTemplate(query, row, revision, new Date(clock.now()));
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

function templateOf({ parameters, command, ...rest }: TemplateRow): Template {
  return {
    ...rest,
    parameters: parameters as Template['parameters'],
    command: command as Template['command'],
  };
}
