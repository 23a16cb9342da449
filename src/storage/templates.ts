import { likePatterns, type Scope } from '../lib/scope.ts';
import { type Database, statement } from './database.ts';
import { namedRows } from './named-rows.ts';

/** Templates: commands with parameters, kept under a name. */

export interface TemplateRow {
  name: string;
  description: string;
  parameters: unknown;
  command: unknown;
  revision: number;
  updatedBy: string;
  createdAt: Date;
  updatedAt: Date;
  binding: Uint8Array | null;
}

export type NewTemplateRow = Pick<TemplateRow, 'name' | 'description' | 'updatedBy'> & {
  /** JSON. */
  parameters: string;
  /** JSON. */
  command: string;
  /** With the revision that it gets. */
  binding: Uint8Array;
};

type Query = Database['query'];

const columns = `name, description, parameters, command, revision, updated_by as "updatedBy",
  created_at as "createdAt", updated_at as "updatedAt", binding`;

const list = statement(
  'templates_list',
  `select ${columns} from templates
   where ($1::text is null or name > $1) and ($3::text[] is null or command->>'verb' like any($3))
   order by name limit $2`,
);

/** By name; `after` is the last name of the page before. Within a scope: those whose verb it allows. */
export const listTemplates = (
  query: Query,
  after: string | undefined,
  limit: number,
  scope: Scope | undefined,
) => query<TemplateRow>(list, [after, limit, scope && likePatterns(scope)]);

export const { find: findTemplate, remove: deleteTemplate } = namedRows<TemplateRow>('templates', columns);

const insert = statement(
  'templates_insert',
  `insert into templates (name, description, parameters, command, updated_by, created_at, updated_at, binding)
   values ($1, $2, $3::jsonb, $4::jsonb, $5, $6, $6, $7) on conflict (name) do nothing
   returning ${columns}`,
);

const update = statement(
  'templates_update',
  `update templates set description = $2, parameters = $3::jsonb, command = $4::jsonb, updated_by = $5,
     updated_at = $6, binding = $7, revision = revision + 1
   where name = $1 and revision = $8 returning ${columns}`,
);

/**
 * Stores a new template, or the next revision of the one with this revision. Undefined if there is one already,
 * or none with that revision.
 */
export async function saveTemplate(
  query: Query,
  row: NewTemplateRow,
  revision: number | undefined,
  at: Date,
): Promise<TemplateRow | undefined> {
  const values = [row.name, row.description, row.parameters, row.command, row.updatedBy, at, row.binding];
  const [saved] = await query<TemplateRow>(
    revision === undefined ? insert : update,
    revision === undefined ? values : [...values, revision],
  );
  return saved;
}
