import { type Database, statement } from './database.ts';

/** What tables have in common whose rows people name: one is found, or deleted as it was seen, by its name. */
export function namedRows<Row>(table: string, columns: string) {
  const byName = statement(`${table}_by_name`, `select ${columns} from ${table} where name = $1`);
  const remove = statement(
    `${table}_delete`,
    `delete from ${table} where name = $1 and ($2::int is null or revision = $2) returning name`,
  );
  return {
    async find(query: Database['query'], name: string): Promise<Row | undefined> {
      const [row] = await query<Row>(byName, [name]);
      return row;
    },
    /** Waits while somebody holds it. False if there is none with that revision. */
    remove: async (query: Database['query'], name: string, revision: number | undefined): Promise<boolean> =>
      (await query(remove, [name, revision])).length > 0,
  };
}
