import { create } from '@bufbuild/protobuf';
import { type ServiceSample, ServiceSampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { minimalEnvironment, runProgram } from '../process.ts';

/** The state of the services that somebody named, as systemd tells it. */

const timeoutMs = 5_000;
const outputBytes = 1024 * 1024;

export interface ServicesDeps {
  names: readonly string[];
  /** Where programs are looked for. */
  path?: string | undefined;
}

/** @throws where systemctl is not there, or does not answer in time */
export async function readServices({ names, path }: ServicesDeps): Promise<ServiceSample[]> {
  if (names.length === 0) return [];
  const end = await runProgram({
    argv: [
      'systemctl',
      'show',
      '--no-pager',
      '--property=Id,LoadState,ActiveState,SubState,NRestarts',
      '--',
      ...names,
    ],
    environment: { ...minimalEnvironment(path), LC_ALL: 'C' },
    signal: AbortSignal.timeout(timeoutMs),
    outputLimit: outputBytes,
  });
  const text = new TextDecoder().decode(end.stdout.data);
  if (end.interrupted || end.exitCode !== 0 || end.stdout.truncated) {
    const said = new TextDecoder().decode(end.stderr.data).trim().slice(0, 256);
    throw new Error(`systemctl show ended with ${end.exitCode ?? 'a signal'}: ${said}`);
  }
  return parseServices(names, text);
}

/** Reads the blocks of `systemctl show`, one for each name, in their order. */
export function parseServices(names: readonly string[], text: string): ServiceSample[] {
  const blocks = text
    .trim()
    .split(/\n\s*\n/)
    .map((block) => new Map(block.split('\n').map((line) => pairOf(line))));
  return names.map((name, index) => {
    const values = blocks[index];
    const loaded = values?.get('LoadState') ?? '';
    const state = values?.get('ActiveState') || 'unknown';
    return serviceSample(name, loaded === 'not-found' ? loaded : state, values);
  });
}

/** What is said of services where the service manager does not answer. */
export const unknownServices = (names: readonly string[]): ServiceSample[] =>
  names.map((name) => serviceSample(name, 'unknown', undefined));

function serviceSample(
  name: string,
  state: string,
  values: ReadonlyMap<string, string> | undefined,
): ServiceSample {
  const restarts = Number(values?.get('NRestarts') ?? 0);
  return create(ServiceSampleSchema, {
    // The name that was asked for: an alias answers with another.
    name: name.slice(0, 255),
    state: state.slice(0, 64),
    subState: (values?.get('SubState') ?? '').slice(0, 64),
    restarts: Number.isInteger(restarts) && restarts >= 0 ? Math.min(restarts, 2 ** 32 - 1) : 0,
  });
}

function pairOf(line: string): [string, string] {
  const at = line.indexOf('=');
  return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
}
