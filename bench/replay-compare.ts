import { isDeepStrictEqual } from 'node:util';
import type { Database } from '../src/storage/database.ts';
import { built } from './support/built.ts';
import { expectedSpans, type ReplayDay } from './support/replay-day.ts';

/** Whether all that is stored of a day is what it has to be: every sample, every roll-up, and nothing else. */

export const levels = [
  { seconds: 60, table: 'telemetry_minutes' },
  { seconds: 900, table: 'telemetry_quarters' },
  { seconds: 3600, table: 'telemetry_hours' },
];

interface RollupRow {
  at: Date;
  samples: number;
  sum: number;
  min: number;
  max: number;
  p95: number;
}

/** @throws with the first difference */
export async function compare({ agents }: ReplayDay, database: Database): Promise<Record<string, number>> {
  const [{ statement }, { spansIn }] = await Promise.all([built.database(), built.spans()]);
  const read = <Row>(name: string, text: string, values: unknown[] = []) =>
    database.query<Row>(statement(`replay_${name}`, text), values);
  const spans: Record<string, number> = {};
  const [left] = await read<{ n: number }>('dirty', 'select count(*)::int as n from telemetry_dirty');
  same('spans that are still to be rolled up', left?.n, 0);
  for (const agent of agents) {
    const rows = await read<{ at: Date; number: number; cpu: number; load: number }>(
      'samples',
      `select at, number::int4 as number, cpu, load from telemetry_samples where agent_id = $1
       order by at, boot_id, number`,
      [agent.agentId],
    );
    const stored = rows
      .map(({ at, number, cpu, load }) => [at.getTime(), number, cpu, load].join())
      .toSorted();
    const expected = agent.at.map((at, n) => {
      const cpu = agent.cpu[n] ?? Number.NaN;
      return [at, agent.number[n], cpu, cpu / 8].join();
    });
    same(`samples of ${agent.agentId}`, stored, expected.toSorted());
    for (const { seconds, table: name } of levels) {
      const made = await read<RollupRow>(
        name,
        `select at, samples, cpu_sum as sum, cpu_min as min, cpu_max as max, cpu_p95 as p95 from ${spansIn(name)} s
         where agent_id = $1 and cpu_count = samples and load_p95 * 8 = cpu_p95 and disk_count is null order by at`,
        [agent.agentId],
      );
      const wanted = expectedSpans(agent, seconds);
      same(
        `${name} of ${agent.agentId}`,
        made.map((row) => ({ ...row, at: row.at.getTime() })),
        wanted,
      );
      spans[name] = (spans[name] ?? 0) + wanted.length;
    }
  }
  for (const { table: name } of levels) {
    const [row] = await read<{ n: number }>(`${name}_all`, `select count(*)::int as n from ${name}`);
    same(`rows of ${name}`, row?.n, spans[name]);
  }
  return spans;
}

/** @throws where it is not */
export function same(what: string, found: unknown, expected: unknown): void {
  if (isDeepStrictEqual(found, expected)) return;
  if (!Array.isArray(found) || !Array.isArray(expected))
    throw new Error(`${what}: ${String(found)} instead of ${String(expected)}`);
  const at = expected.findIndex((each, index) => !isDeepStrictEqual(each, found[index]));
  const [one, other] = [JSON.stringify(found[at]), JSON.stringify(expected[at])];
  throw new Error(`${what}: ${found.length} and not ${expected.length}, ${one} instead of ${other}`);
}
