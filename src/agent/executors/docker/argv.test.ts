import {
  create,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
  ScalarType,
} from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ComposeLogsArgsSchema, ComposePsArgsSchema } from '#gen/viworks/verbs/v1/compose_pb.js';
import { ComposeDownArgsSchema, ComposeUpArgsSchema } from '#gen/viworks/verbs/v1/compose_up_pb.js';
import { DockerBuildArgsSchema, DockerPullArgsSchema } from '#gen/viworks/verbs/v1/docker_image_pb.js';
import {
  DockerInspectArgsSchema,
  DockerLogsArgsSchema,
  DockerStatsArgsSchema,
} from '#gen/viworks/verbs/v1/docker_pb.js';
import {
  DockerExecArgsSchema,
  DockerRmArgsSchema,
  DockerRunArgsSchema,
  DockerStopArgsSchema,
} from '#gen/viworks/verbs/v1/docker_run_pb.js';
import { problemsOf } from '../../../protocol/validation.ts';
import {
  buildArgv,
  execArgv,
  inspectArgv,
  logsArgv,
  pullArgv,
  rmArgv,
  runArgv,
  statsArgv,
  stopArgv,
} from './argv.ts';
import { composeLogsArgv, composePsArgv, downArgv, upArgv } from './compose-argv.ts';

/**
 * However hostile the args: each is in the argument vector once, as the value of its own option or after `--`,
 * whole, and nothing else is an option than what the verb has.
 */

const hostile = fc.oneof(
  fc.constantFrom(
    '',
    '-',
    '--',
    '-v',
    '--privileged',
    '--env=A=b',
    '-it',
    'a b',
    'a\nb',
    '$(id)',
    '`id`',
    ';',
    '"',
    "'",
  ),
  fc.constantFrom(
    'web',
    'a.b_c-d',
    '/srv/x',
    '/srv/-x',
    'name:/in',
    'x=y',
    '10m',
    '8080:80',
    'always',
    'local',
  ),
  fc.string({ maxLength: 20 }),
);

interface Vector {
  /** Words of docker's own before any value. */
  words: string[];
  options: string[];
  /** Everything after `--`. */
  values: string[];
}

function parse(argv: readonly string[]): Vector {
  const end = argv.indexOf('--');
  const head = end === -1 ? argv : argv.slice(0, end);
  return {
    words: head.filter((item) => !item.startsWith('-')),
    options: head.filter((item) => item.startsWith('-')),
    values: end === -1 ? [] : argv.slice(end + 1),
  };
}

const numbers: ReadonlyMap<ScalarType, fc.Arbitrary<unknown>> = new Map<ScalarType, fc.Arbitrary<unknown>>([
  [ScalarType.BOOL, fc.boolean()],
  [ScalarType.UINT32, fc.nat(5000)],
  [ScalarType.UINT64, fc.nat().map(BigInt)],
  [ScalarType.DOUBLE, fc.double({ min: 0, max: 8, noNaN: true })],
]);

/** Arbitrary args of a message: every string hostile, and every other field as it may come. */
function anyArgs<Desc extends DescMessage>(schema: Desc): fc.Arbitrary<MessageShape<Desc>> {
  const fields = schema.fields.map((field): [string, fc.Arbitrary<unknown>] => {
    if (field.fieldKind === 'list') return [field.localName, fc.array(hostile, { maxLength: 3 })];
    if (field.fieldKind === 'map') return [field.localName, fc.dictionary(hostile, hostile, { maxKeys: 3 })];
    return [field.localName, (field.fieldKind === 'scalar' && numbers.get(field.scalar)) || hostile];
  });
  return fc
    .record(Object.fromEntries(fields), { requiredKeys: [] })
    .map((init) => create(schema, init as MessageInitShape<Desc>));
}

/** The strings of the args that pass the rules, each field with a good value in place of what does not. */
function repaired<Desc extends DescMessage>(
  schema: Desc,
  args: MessageShape<Desc>,
  good: MessageInitShape<Desc>,
): MessageShape<Desc> {
  const { $typeName: _, ...fixed }: Record<string, unknown> = { ...args };
  for (let tries = 0; tries < 40; tries++) {
    const message = create(schema, fixed as MessageInitShape<Desc>);
    const [problem] = problemsOf(schema, message);
    if (problem === undefined) return message;
    const name = /^[a-z_]+/.exec(problem.field)?.[0];
    const field = schema.fields.find((one) => one.name === name);
    if (field === undefined) Object.assign(fixed, good);
    else if (field.localName in good) fixed[field.localName] = (good as typeof fixed)[field.localName];
    else delete fixed[field.localName];
  }
  throw new Error('cannot be repaired');
}

interface Case {
  name: string;
  check(): void;
}

function verb<Desc extends DescMessage>(
  schema: Desc,
  good: MessageInitShape<Desc>,
  argvOf: (args: MessageShape<Desc>) => string[],
  words: string[],
  known: string[],
  valuesOf: (args: MessageShape<Desc>) => string[],
): Case {
  return {
    name: schema.name,
    check() {
      fc.assert(
        fc.property(anyArgs(schema), (any) => {
          const args = repaired(schema, any, good);
          const argv = argvOf(args);
          const { options, values, words: found } = parse(argv);
          expect(found).toEqual(words);
          expect(values).toEqual(valuesOf(args));
          for (const option of options) {
            const [name = ''] = option.split('=');
            expect(known).toContain(name);
          }
          // Every text of the args is there, whole; and there are no more items than args.
          const texts = Object.values(args as Record<string, unknown>).flatMap((value) =>
            typeof value === 'object' && value !== null && !Array.isArray(value)
              ? Object.entries(value).map(([key, inner]) => `${key}=${inner}`)
              : [value].flat().filter((item) => typeof item === 'string' && item !== schema.typeName),
          );
          for (const text of texts) {
            if (text === '') continue;
            expect(argv.some((item) => item === text || item.endsWith(`=${text}`))).toBe(true);
          }
        }),
        { numRuns: 300 },
      );
    },
  };
}

const project = ['--ansi', '--project-directory', '--file', '--project-name', '--profile'];
const logs = ['--tail', '--since', '--until', '--timestamps', '--follow'];
const containers = { containers: ['web'] };
const directory = { directory: '/srv' };

const cases: Case[] = [
  verb(DockerInspectArgsSchema, containers, inspectArgv, ['inspect'], ['--type'], (a) => a.containers),
  verb(
    DockerStatsArgsSchema,
    {},
    statsArgv,
    ['stats'],
    ['--no-stream', '--no-trunc', '--format'],
    (a) => a.containers,
  ),
  verb(DockerLogsArgsSchema, { container: 'web' }, logsArgv, ['logs'], logs, (a) => [a.container]),
  verb(
    DockerExecArgsSchema,
    { container: 'web', argv: ['ls'], environment: {} },
    execArgv,
    ['exec'],
    ['--user', '--workdir', '--env'],
    (a) => [a.container, ...a.argv],
  ),
  verb(
    DockerRunArgsSchema,
    { image: 'nginx', environment: {}, labels: {} },
    (args) => runArgv(args, args.name || 'viworks-x', '/tmp/id'),
    ['run'],
    [
      ...[
        '--name',
        '--cidfile',
        '--detach',
        '--rm',
        '--env',
        '--label',
        '--publish',
        '--volume',
        '--network',
        '--restart',
      ],
      ...['--user', '--workdir', '--entrypoint', '--pull', '--memory', '--cpus'],
    ],
    (a) => [a.image, ...a.command],
  ),
  verb(DockerStopArgsSchema, containers, stopArgv, ['stop'], ['-t'], (a) => a.containers),
  verb(DockerRmArgsSchema, containers, rmArgv, ['rm'], ['--force', '--volumes'], (a) => a.containers),
  verb(DockerPullArgsSchema, { image: 'nginx' }, pullArgv, ['pull'], ['--platform'], (a) => [a.image]),
  verb(
    DockerBuildArgsSchema,
    { context: '/srv', buildArgs: {} },
    (args) => buildArgv(args, '/tmp/id'),
    ['build'],
    ['--iidfile', '--tag', '--file', '--build-arg', '--target', '--platform', '--pull', '--no-cache'],
    (a) => [a.context],
  ),
  verb(
    ComposeUpArgsSchema,
    directory,
    upArgv,
    ['compose', 'up'],
    [...project, '--detach', '--build', '--pull', '--force-recreate', '--remove-orphans', '--wait'],
    (a) => a.services,
  ),
  verb(
    ComposeDownArgsSchema,
    directory,
    downArgv,
    ['compose', 'down'],
    [...project, '--volumes', '--remove-orphans', '--rmi', '--timeout'],
    () => [],
  ),
  verb(
    ComposePsArgsSchema,
    directory,
    composePsArgv,
    ['compose', 'ps'],
    [...project, '--no-trunc', '--format', '--all'],
    (a) => a.services,
  ),
  verb(
    ComposeLogsArgsSchema,
    directory,
    composeLogsArgv,
    ['compose', 'logs'],
    [...project, '--no-color', ...logs],
    (a) => a.services,
  ),
];

describe('no arg becomes an option, and none is split', () => {
  test.each(cases)('$name', ({ check }) => check());
});

test.each([
  [DockerLogsArgsSchema, { container: '-v' }],
  [DockerLogsArgsSchema, { container: '--help' }],
  [DockerInspectArgsSchema, { containers: ['web', '-f'] }],
  [DockerRunArgsSchema, { image: '--privileged' }],
  [DockerRunArgsSchema, { image: 'nginx', name: '-x' }],
  [DockerRunArgsSchema, { image: 'nginx', volumes: ['relative/x:/y'] }],
  [DockerRunArgsSchema, { image: 'nginx', environment: { '-A': 'x' } }],
  [DockerBuildArgsSchema, { context: '-' }],
  [ComposeUpArgsSchema, { directory: '/srv', services: ['--scale'] }],
  [ComposeUpArgsSchema, {}],
] as [DescMessage, Record<string, unknown>][])('%s refuses %j', (schema, args) => {
  expect(problemsOf(schema, create(schema, args))).not.toEqual([]);
});
