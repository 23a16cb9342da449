import { type Database, statement } from './database.ts';

const expired = statement(
  'commands_delete_old',
  `with old as (
     select c.command_id from commands c
     where c.command_id < $1 and not exists (
       select 1 from executions e where e.command_id = c.command_id and e.deadline_at is not null)
       and not exists (select 1 from rollouts r where r.command_id = c.command_id and r.state in ('running', 'paused'))
     order by c.command_id limit $2
     for update of c skip locked
   ), o as (delete from execution_output x using old where x.command_id = old.command_id
   ), e as (delete from executions x using old where x.command_id = old.command_id
   ), a as (delete from approvals x using old where x.command_id = old.command_id
   ), r as (delete from rollouts x using old where x.command_id = old.command_id)
   delete from commands x using old where x.command_id = old.command_id returning x.command_id`,
);

/** Deletes some of the finished commands with ids before one, and all that belongs to them; answers with how many. */
export async function deleteOldCommands(
  query: Database['query'],
  beforeId: string,
  limit: number,
): Promise<number> {
  return (await query(expired, [beforeId, limit])).length;
}
