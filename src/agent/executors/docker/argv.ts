import type { DockerBuildArgs, DockerPullArgs } from '#gen/viworks/verbs/v1/docker_image_pb.js';
import type { DockerInspectArgs, DockerLogsArgs, DockerStatsArgs } from '#gen/viworks/verbs/v1/docker_pb.js';
import type {
  DockerExecArgs,
  DockerRmArgs,
  DockerRunArgs,
  DockerStopArgs,
} from '#gen/viworks/verbs/v1/docker_run_pb.js';

/**
 * From args to argument vectors of the docker command. A value is either behind the `=` of its option or after
 * `--`: it can be taken neither for an option nor for two arguments.
 */

/** Values of the args without the names that protobuf adds. */
export type Plain<Args> = Omit<Args, '$typeName' | '$unknown'>;

/** Lines of logs unless the args say otherwise. */
const defaultTail = 1000;

export const flag = (name: string, on: boolean): string[] => (on ? [`--${name}`] : []);
export const option = (name: string, value: string | number | bigint | undefined): string[] =>
  value === undefined || value === '' ? [] : [`--${name}=${value}`];
export const options = (name: string, values: readonly string[]): string[] =>
  values.map((value) => `--${name}=${value}`);
/** One option for each pair, as KEY=VALUE. */
export const pairs = (name: string, values: Readonly<Record<string, string>>): string[] =>
  Object.entries(values).map(([key, value]) => `--${name}=${key}=${value}`);
/** Everything after this is a value. */
export const values = (...all: readonly string[]): string[] => (all.length === 0 ? [] : ['--', ...all]);

export const inspectArgv = ({ containers }: Plain<DockerInspectArgs>): string[] => [
  'inspect',
  '--type=container',
  ...values(...containers),
];

export const statsArgv = ({ containers }: Plain<DockerStatsArgs>): string[] => [
  'stats',
  '--no-stream',
  '--no-trunc',
  '--format={{json .}}',
  ...values(...containers),
];

/** What docker logs and docker compose logs have in common. */
export function logOptions(
  args: Pick<DockerLogsArgs, 'tail' | 'since' | 'until' | 'timestamps' | 'follow'>,
): string[] {
  return [
    ...option('tail', args.tail === 0 ? defaultTail : args.tail),
    ...option('since', args.since),
    ...option('until', args.until),
    ...flag('timestamps', args.timestamps),
    ...flag('follow', args.follow),
  ];
}

export const logsArgv = (args: Plain<DockerLogsArgs>): string[] => [
  'logs',
  ...logOptions(args),
  ...values(args.container),
];

export const execArgv = (args: Plain<DockerExecArgs>): string[] => [
  'exec',
  ...option('user', args.user),
  ...option('workdir', args.workingDirectory),
  ...pairs('env', args.environment),
  ...values(args.container, ...args.argv),
];

/** @param name of the container, also where the args leave it to us */
export const runArgv = (args: Plain<DockerRunArgs>, name: string): string[] => [
  'run',
  ...option('name', name),
  ...flag('detach', args.detach),
  ...flag('rm', args.remove),
  ...pairs('env', args.environment),
  ...pairs('label', args.labels),
  ...options('publish', args.publish),
  ...options('volume', args.volumes),
  ...option('network', args.network),
  ...option('restart', args.restart),
  ...option('user', args.user),
  ...option('workdir', args.workingDirectory),
  ...option('entrypoint', args.entrypoint),
  ...option('pull', args.pull),
  ...option('memory', args.memoryBytes === 0n ? undefined : args.memoryBytes),
  ...option('cpus', args.cpus === 0 ? undefined : args.cpus),
  ...values(args.image, ...args.command),
];

export const killArgv = (name: string): string[] => ['kill', ...values(name)];

export const stopArgv = (args: Plain<DockerStopArgs>): string[] => [
  'stop',
  // The long name of this option differs between versions of docker.
  ...(args.graceSeconds === undefined ? [] : [`-t=${args.graceSeconds}`]),
  ...values(...args.containers),
];

export const rmArgv = (args: Plain<DockerRmArgs>): string[] => [
  'rm',
  ...flag('force', args.force),
  ...flag('volumes', args.volumes),
  ...values(...args.containers),
];

export const pullArgv = (args: Plain<DockerPullArgs>): string[] => [
  'pull',
  ...option('platform', args.platform),
  ...values(args.image),
];

/** @param idFile where docker writes the id of the image */
export const buildArgv = (args: Plain<DockerBuildArgs>, idFile: string): string[] => [
  'build',
  ...option('iidfile', idFile),
  ...options('tag', args.tags),
  ...option('file', args.dockerfile),
  ...pairs('build-arg', args.buildArgs),
  ...option('target', args.target),
  ...option('platform', args.platform),
  ...flag('pull', args.pull),
  ...flag('no-cache', args.noCache),
  ...values(args.context),
];
