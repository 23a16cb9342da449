import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  ServiceStatusArgsSchema,
  type ServiceStatusResult,
  ServiceStatusResultSchema,
} from '#gen/viworks/verbs/v1/system_pb.js';
import { minimalEnvironment, runProgram } from '../process.ts';
import { defineExecutor, type Executor } from './executor.ts';
import { programFailure } from './program-failure.ts';

const properties = [
  'Id',
  'Description',
  'LoadState',
  'ActiveState',
  'SubState',
  'MainPID',
  'StateChangeTimestamp',
];

/** service.status: one service as systemd sees it. A service that does not exist is an answer, not a failure. */
export function serviceStatusExecutor(path?: string): Executor {
  return defineExecutor(ServiceStatusArgsSchema, ServiceStatusResultSchema, async (args, context) => {
    const end = await runProgram({
      argv: ['systemctl', 'show', '--no-pager', `--property=${properties.join(',')}`, '--', args.name],
      // Times in a form that can be read, also from versions of systemd that offer no other.
      environment: { ...minimalEnvironment(path), LC_ALL: 'C', TZ: 'UTC' },
      signal: context.signal,
      outputLimit: context.outputLimit,
    });
    if (end.interrupted || end.exitCode !== 0) return programFailure('systemctl', end);
    return { output: parseStatus(args.name, new TextDecoder().decode(end.stdout.data)) };
  });
}

/** Reads `systemctl show`: lines of Name=value. */
export function parseStatus(name: string, text: string): ServiceStatusResult {
  const values = new Map(
    text.split('\n').flatMap((line): [string, string][] => {
      const at = line.indexOf('=');
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1)]];
    }),
  );
  // For example "Thu 2026-01-01 00:00:00 UTC"; a state that never changed has no time.
  const [, day, time] =
    /(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)/.exec(values.get('StateChangeTimestamp') ?? '') ?? [];
  const since = day === undefined ? Number.NaN : Date.parse(`${day}T${time}Z`);
  return create(ServiceStatusResultSchema, {
    name: values.get('Id') ?? name,
    description: values.get('Description') ?? '',
    loadState: values.get('LoadState') ?? '',
    activeState: values.get('ActiveState') ?? '',
    subState: values.get('SubState') ?? '',
    mainPid: Number(values.get('MainPID') ?? 0),
    ...(Number.isNaN(since) ? {} : { since: timestampFromMs(since) }),
  });
}
