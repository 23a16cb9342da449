import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { parseLabels } from './agents.ts';
import type { CliContext } from './context.ts';
import { UsageError } from './failure.ts';
import { collect } from './options.ts';

/** What `viworks enroll` and `viworks agent` have in common: where the control plane is, and as what to enrol. */

export interface EnrolmentOptions {
  url?: string;
  token?: string;
  id?: string;
  label?: string[];
  dataDir: string;
  ca?: string;
}

/** @param inFolder what lies in the data folder, for the help */
export const withEnrolmentOptions = (command: Command, inFolder: string): Command =>
  command
    .option('--url <url>', 'agent listener of the control plane (VIWORKS_AGENT_URL)')
    .option('--token <token>', 'enrolment token, for the first time (VIWORKS_ENROLLMENT_TOKEN)')
    .option('--id <agent-id>', "the identity to ask for (default: the host's name)")
    .option('--label <name=value>', 'label to enrol with; repeat for more', collect)
    .option('--data-dir <folder>', `where ${inFolder} lie`, '.viworks/agent')
    .option('--ca <file>', 'PEM file with the certificates to believe instead of the public ones');

/** For agent/run.ts. */
export function enrolmentOf({ settings }: Pick<CliContext, 'settings'>, options: EnrolmentOptions) {
  const url = options.url ?? settings.agentUrl;
  if (url === undefined) throw new UsageError('--url: is missing; for example http://127.0.0.1:8081');
  return {
    url,
    dataDir: resolve(options.dataDir),
    enrollmentToken: options.token ?? settings.enrollmentToken,
    agentId: options.id,
    labels: options.label === undefined ? undefined : parseLabels(options.label),
    tlsCa: options.ca === undefined ? undefined : readCertificates(options.ca),
  };
}

function readCertificates(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`--ca: ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
