import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { ExecArgsSchema, ServiceStatusArgsSchema } from '#gen/viworks/verbs/v1/system_pb.js';
import { execExecutor } from '../../src/agent/executors/exec.ts';
import { serviceStatusExecutor } from '../../src/agent/executors/service-status.ts';
import { ViworksError } from '../../src/errors.ts';
import { argsFromJson } from '../../src/protocol/verb-values.ts';
import { builtInCatalogue } from '../../src/protocol/verbs.ts';
import { fillArgs } from '../../src/templates/placeholders.ts';
import { execute, textOf } from '../support/agent-execute.ts';

/**
 * Whatever text a command carries, it is an argument and never a program: real processes get it, and what it would
 * have done in a shell has not happened. The argument vectors of docker have tests beside them (docker/argv.test.ts).
 */

let folder: string;
let marker: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'viworks-injection-'));
  marker = join(folder, 'was-run');
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
});

/** Words that mean something to a shell, to a program that reads options, or to a template. */
const hostile = () =>
  fc.oneof(
    fc.constantFrom(
      `; touch ${marker}`,
      `$(touch ${marker})`,
      `\`touch ${marker}\``,
      `| touch ${marker} #`,
      `\n touch ${marker}`,
      `' && touch ${marker} '`,
      `--output=${marker}`,
      '-',
      '--',
      '{{b}}',
      '%n',
      '*',
      '~',
    ),
    fc.string({ maxLength: 30 }).filter((word) => !word.includes('\0')),
  );

const exec = builtInCatalogue.get('exec');
const runs = { numRuns: 30 };

async function printed(argv: readonly string[], environment: Record<string, string> = {}): Promise<string> {
  if (exec === undefined) throw new Error('no exec');
  // The way of every command: checked as JSON, sent as bytes, read again.
  const { bytes } = argsFromJson(exec, { argv: [...argv], environment });
  const outcome = await execute(execExecutor(), ExecArgsSchema, fromBinary(ExecArgsSchema, bytes));
  return textOf(outcome.stdout);
}

test('arguments of exec arrive as they are', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(hostile(), { minLength: 1, maxLength: 4 }), async (words) => {
      expect(await printed(['printf', '%s\\0', ...words])).toBe(words.map((word) => `${word}\0`).join(''));
    }),
    runs,
  );
  expect(existsSync(marker)).toBe(false);
});

test('so does the environment', async () => {
  await fc.assert(
    fc.asyncProperty(hostile(), async (value) => {
      expect(await printed(['printenv', 'VALUE'], { VALUE: value })).toBe(`${value}\n`);
    }),
    runs,
  );
  expect(existsSync(marker)).toBe(false);
});

test('values of a template fill the place that they are for, and no more', async () => {
  await fc.assert(
    fc.asyncProperty(hostile(), hostile(), async (a, b) => {
      const values = new Map([
        ['a', a],
        ['b', b],
      ]);
      const { argv } = fillArgs({ argv: ['printf', '%s\\0', '{{a}}', 'x{{b}}'] }, values);
      expect(await printed(argv as string[])).toBe(`${a}\0x${b}\0`);
    }),
    runs,
  );
  expect(existsSync(marker)).toBe(false);
});

test('the name of a service is one, or refused', async () => {
  const said = join(folder, 'arguments');
  const program = join(folder, 'systemctl');
  await writeFile(program, `#!/bin/sh\nprintf '%s\\0' "$@" > '${said}'\n`);
  await chmod(program, 0o755);
  const verb = builtInCatalogue.get('service.status');
  if (verb === undefined) throw new Error('no service.status');
  let passed = 0;
  await fc.assert(
    fc.asyncProperty(fc.oneof(hostile(), fc.constantFrom('ssh.service', 'a@b.timer')), async (name) => {
      let bytes: Uint8Array;
      try {
        ({ bytes } = argsFromJson(verb, { name }));
      } catch (error) {
        expect(ViworksError.from(error).code).toBe('invalid_args');
        return;
      }
      passed += 1;
      const args = fromBinary(ServiceStatusArgsSchema, bytes);
      await execute(serviceStatusExecutor(`${folder}:/bin:/usr/bin`), ServiceStatusArgsSchema, args);
      const words = (await readFile(said, 'utf8')).split('\0').slice(0, -1);
      expect(words.slice(words.indexOf('--'))).toEqual(['--', name]);
    }),
    { numRuns: 40, examples: [['ssh.service'], ['-H evil'], ['--help']] },
  );
  expect(passed).toBeGreaterThan(0);
  expect(existsSync(marker)).toBe(false);
});
