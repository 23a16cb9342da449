import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { readPin } from '../protocol/certificates/pins.ts';
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
  serverPin?: string[];
}

/** @param inFolder what lies in the data folder, for the help */
export const withEnrolmentOptions = (command: Command, inFolder: string): Command =>
  command
    .option('--url <url>', 'agent listener of the control plane (VIWORKS_AGENT_URL)')
    .option('--token <token>', 'enrolment token, for the first time (VIWORKS_ENROLLMENT_TOKEN)')
    .option('--id <agent-id>', "the identity to ask for (default: the host's name)")
    .option('--label <name=value>', 'label to enrol with; repeat for more', collect)
    .option('--data-dir <folder>', `where ${inFolder} lie`, '.viworks/agent')
    .option('--ca <file>', 'PEM file with the certificates to believe instead of the public ones')
    .option(
      '--server-pin <pin>',
      "the server's key at the first contact, sha256/…; repeat for more (VIWORKS_SERVER_PIN)",
      collect,
    );

/** For agent/run.ts. */
export function enrolmentOf({ settings }: Pick<CliContext, 'settings'>, options: EnrolmentOptions) {
  const url = options.url ?? settings.agentUrl;
  if (url === undefined) throw new UsageError('--url: is missing; for example http://127.0.0.1:8081');
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new UsageError('--url: must be an http or https URL, for example http://127.0.0.1:8081');
  return {
    url,
    dataDir: resolve(options.dataDir),
    enrollmentToken: options.token ?? settings.enrollmentToken,
    agentId: options.id,
    labels: options.label === undefined ? undefined : parseLabels(options.label),
    tlsCa: options.ca === undefined ? undefined : readCertificates(options.ca),
    serverPins: (options.serverPin ?? settings.serverPins).map(readServerPin),
  };
}

function readServerPin(text: string): Uint8Array {
  const pin = readPin(text);
  if (pin !== undefined) return pin;
  throw new UsageError(`--server-pin: ${text} is no pin; it is written sha256/ and 44 characters of base64`);
}

function readCertificates(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`--ca: ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
