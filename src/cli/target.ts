import type { Command } from 'commander';
import type { AppInputs } from '../api/trpc/router.ts';
import { agentStatuses } from '../registry/types.ts';
import { UsageError } from './failure.ts';
import { collect } from './options.ts';

/** How a person chooses agents: the options that `run` and others share. */

export interface TargetOptions {
  agent?: string[];
  site?: string;
  select?: string[];
  all?: boolean;
  anyOne?: boolean;
}

export function withTargetOptions(command: Command): Command {
  return command
    .option('--agent <id>', 'on this agent; repeat for more', collect)
    .option('--site <site>', 'on every agent of the site')
    .option(
      '--select <name=value>',
      'on every agent where all of these hold: site=, capability=, os=, status= or label.NAME=',
      collect,
    )
    .option('--all', 'on every agent')
    .option('--any-one', 'on one of them only: the one that has the least to do');
}

type TargetInput = AppInputs['commands']['submit']['target'];

/** @throws UsageError */
export function targetOf({ agent, site, select, all, anyOne }: TargetOptions): TargetInput {
  const given = [agent, site, select, all || undefined].filter((value) => value !== undefined).length;
  if (given !== 1) {
    throw new UsageError(
      'choose the agents by one of --agent ID, --site SITE, --select NAME=VALUE and --all',
    );
  }
  const one = anyOne ? { anyOne: true as const } : {};
  if (agent !== undefined) return { agents: [...new Set(agent)], ...one };
  if (site !== undefined) return { site, ...one };
  if (select !== undefined) return { selector: selectorOf(select), ...one };
  return { all: true as const, ...one };
}

/** The target, where one was chosen. @throws UsageError */
export function optionalTargetOf(options: TargetOptions): { target?: TargetInput } {
  const { agent, site, select, all, anyOne } = options;
  const given = agent !== undefined || site !== undefined || select !== undefined || all || anyOne;
  return given ? { target: targetOf(options) } : {};
}

type Selector = Extract<TargetInput, { selector: unknown }>['selector'];

/** @throws UsageError */
export function selectorOf(parts: readonly string[]): Selector {
  const labels: Record<string, string> = {};
  const lists = { site: [], capability: [], os: [], status: [] } as Record<string, string[]>;
  for (const part of parts) {
    const [, name = '', value = ''] = /^([^=]+)=(.+)$/s.exec(part) ?? [];
    if (name.startsWith('label.')) labels[name.slice('label.'.length)] = value;
    else if (lists[name] !== undefined && value !== '') lists[name].push(value);
    else {
      const names = 'site=, capability=, os=, status= or label.NAME=';
      throw new UsageError(`--select ${part}: must begin with ${names} and have a value`);
    }
  }
  const { site = [], capability = [], os = [], status = [] } = lists;
  const wrong = status.find((value) => !agentStatuses.some((known) => known === value));
  if (wrong !== undefined) {
    throw new UsageError(`--select status=${wrong}: must be one of ${agentStatuses.join(', ')}`);
  }
  return {
    ...(site.length > 0 && { sites: site }),
    ...(capability.length > 0 && { capabilities: capability }),
    ...(os.length > 0 && { os }),
    ...(status.length > 0 && { statuses: status as (typeof agentStatuses)[number][] }),
    ...(Object.keys(labels).length > 0 && { labels }),
  };
}
