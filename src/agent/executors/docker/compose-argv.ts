import type {
  ComposeDownArgs,
  ComposeLogsArgs,
  ComposePsArgs,
  ComposeUpArgs,
} from '#gen/viworks/verbs/v1/compose_pb.js';
import { flag, logOptions, option, options, type Plain, values } from './argv.ts';

/** The argument vectors of docker compose; see argv.ts for what they promise. */

/** How a project is found. */
export type Project = Pick<ComposePsArgs, 'directory' | 'files' | 'project' | 'profiles'>;

const compose = ({ directory, files, project, profiles }: Project, verb: string): string[] => [
  'compose',
  '--ansi=never',
  ...option('project-directory', directory),
  ...options('file', files),
  ...option('project-name', project),
  ...options('profile', profiles),
  verb,
];

export const upArgv = (args: Plain<ComposeUpArgs>): string[] => [
  ...compose(args, 'up'),
  '--detach',
  ...flag('build', args.build),
  ...option('pull', args.pull),
  ...flag('force-recreate', args.forceRecreate),
  ...flag('remove-orphans', args.removeOrphans),
  ...flag('wait', args.wait),
  ...values(...args.services),
];

export const downArgv = (args: Plain<ComposeDownArgs>): string[] => [
  ...compose(args, 'down'),
  ...flag('volumes', args.volumes),
  ...flag('remove-orphans', args.removeOrphans),
  ...option('rmi', args.images),
  ...option('timeout', args.graceSeconds),
];

export const composePsArgv = (args: Project & Pick<ComposePsArgs, 'services' | 'all'>): string[] => [
  ...compose(args, 'ps'),
  '--no-trunc',
  '--format=json',
  ...flag('all', args.all),
  ...values(...args.services),
];

export const composeLogsArgv = (args: Plain<ComposeLogsArgs>): string[] => [
  ...compose(args, 'logs'),
  '--no-color',
  ...logOptions(args),
  ...values(...args.services),
];
