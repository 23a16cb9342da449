import type { AppInputs } from '../api/trpc/router.ts';
import type { Client } from './client.ts';
import { printTable, type Terminal } from './terminal.ts';

/** `viworks run --dry-run`: shows what would run where, and why not elsewhere. */
export async function showPlan(
  client: Client,
  terminal: Terminal,
  input: AppInputs['commands']['submit'],
  options: { json: boolean },
): Promise<boolean> {
  const plan = await client.commands.plan.query(input);
  if (options.json) {
    terminal.json(plan);
    return plan.chosenCount > 0;
  }
  const agents = (n: number) => (n === 1 ? '1 agent' : `${n} agents`);
  terminal.line(`${input.verb} would go to ${agents(plan.chosenCount)}; nothing was submitted.`);
  printTable(
    terminal,
    ['AGENT', 'BEGINS AS', 'WHY'],
    plan.chosen.map(({ agentId, state, reason = 'at once' }) => [agentId, state, reason]),
  );
  if (plan.chosen.length < plan.chosenCount)
    terminal.line(`… and ${plan.chosenCount - plan.chosen.length} more`);
  if (plan.leftOutCount === 0) return plan.chosenCount > 0;
  terminal.line('');
  terminal.line(`Not to ${agents(plan.leftOutCount)}:`);
  printTable(
    terminal,
    ['AGENT', 'WHY NOT'],
    plan.leftOut.map(({ agentId, reason }) => [agentId, reason]),
  );
  if (plan.leftOut.length < plan.leftOutCount)
    terminal.line(`… and ${plan.leftOutCount - plan.leftOut.length} more`);
  return plan.chosenCount > 0;
}
