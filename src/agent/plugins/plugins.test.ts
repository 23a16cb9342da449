import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ArgsEncoding } from '#gen/viworks/agent/v1/command_pb.js';
import { silentLogger } from '../../lib/logger.ts';
import { parsePluginVerbs } from '../../protocol/plugin-verbs.ts';
import { argsFromBytes, argsFromJson, resultFromBytes } from '../../protocol/verb-values.ts';
import { createVerbCatalogue, type VerbSpec } from '../../protocol/verbs.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { pluginExecutor } from './executor.ts';
import { loadPlugins } from './load.ts';

const object = { type: 'object', additionalProperties: false };
const verb = (more: object = {}) => ({
  name: 'test.do',
  summary: 'Do it',
  effect: 'idempotent',
  risk: 'low',
  timeout: '5s',
  capability: 'test',
  args: { ...object, properties: { name: { type: 'string' }, size: { type: 'integer', default: 3 } } },
  result: { ...object, required: ['done'], properties: { done: { type: 'boolean' } } },
  ...more,
});
const fileOf = (...verbs: object[]) => JSON.stringify({ verbs });

function specOf(more: object = {}): VerbSpec {
  const [spec] = parsePluginVerbs('x.json', fileOf(verb(more))).verbs;
  if (spec === undefined) throw new Error('no verb');
  return spec;
}

test.each([
  ['no JSON', '{', /^x\.json: is not JSON/],
  ['no verbs', '{}', /^x\.json: verbs: /],
  ['a misspelt field', fileOf(verb({ efect: 'read' })), /verbs\[0\].*unknown field efect/],
  [
    'an effect that is none',
    fileOf(verb({ effect: 'twice' })),
    /verbs\[0\]\.effect: must be one of read, idempotent, once/,
  ],
  ['a risk that is missing', fileOf(verb({ risk: undefined })), /verbs\[0\]\.risk/],
  ['a name without a dot', fileOf(verb({ name: 'do' })), /verbs\[0\]\.name: must be words .* with dots/],
  ['the word of a built-in verb', fileOf(verb({ name: 'docker.prune' })), /must not begin with docker\./],
  ['the capability of one', fileOf(verb({ capability: 'exec' })), /verbs\[0\]\.capability: must not be exec/],
  ['a name twice', fileOf(verb(), verb()), /verbs\[1\]\.name: test\.do is declared twice/],
  ['no duration', fileOf(verb({ timeout: 'soon' })), /verbs\[0\]\.timeout: must be a duration/],
  [
    'args that are no object',
    fileOf(verb({ args: { type: 'string' } })),
    /verbs\[0\]\.args: must have "type": "object"/,
  ],
  [
    'open args',
    fileOf(verb({ args: { type: 'object' } })),
    /verbs\[0\]\.args: must say additionalProperties/,
  ],
  [
    'a keyword that is none',
    fileOf(verb({ args: { ...object, maxLenght: 1 } })),
    /verbs\[0\]\.args: .*maxLenght/,
  ],
  [
    'a positional that is no arg',
    fileOf(verb({ positional: 'nam' })),
    /verbs\[0\]\.positional: must be one of the args: name, size/,
  ],
])('a file with %s is refused', (_what, text, message) => {
  expect(() => parsePluginVerbs('x.json', text)).toThrow(message);
});

test('a verb is declared by one file only', () => {
  const files = ['a.json', 'b.json'].map((file) => parsePluginVerbs(file, fileOf(verb())));
  expect(() => createVerbCatalogue(files)).toThrow('b.json: test.do is declared by a.json already');
  const catalogue = createVerbCatalogue(files.slice(0, 1));
  expect(catalogue.get('test.do')).toMatchObject({ effect: 'idempotent', defaultTimeoutMs: 5000 });
  expect([catalogue.effectOf('test.do'), catalogue.effectOf('gone.verb')]).toEqual(['idempotent', 'once']);
  expect(catalogue.names).toEqual([...catalogue.names].sort());
});

test('args are checked on both sides, and take their defaults', () => {
  const spec = specOf();
  const { args, bytes } = argsFromJson(spec, { name: 'a' });
  expect(args).toEqual({ name: 'a', size: 3 });
  expect(argsFromBytes(spec, bytes, ArgsEncoding.JSON)).toEqual(args);
  expect(() => argsFromJson(spec, { nam: 'a' })).toThrow('args.nam: is not a known field');
  const raw = (text: string) => new TextEncoder().encode(text);
  expect(() => argsFromBytes(spec, raw('{"size": "x"}'), ArgsEncoding.JSON)).toThrow(
    'args.size: must be integer',
  );
  for (const text of ['[]', '1', '{', ''])
    expect(() => argsFromBytes(spec, raw(text), ArgsEncoding.JSON)).toThrow('are not a JSON object');
  expect(() => argsFromBytes(spec, bytes, ArgsEncoding.PROTOBUF)).toThrow('are not a JSON object');
  expect(resultFromBytes(spec, raw('{"done": true}'), ArgsEncoding.JSON)).toEqual({ done: true });
  expect(resultFromBytes(spec, raw('{"done": 1}'), ArgsEncoding.JSON)).toBeUndefined();
});

const context = {
  signal: new AbortController().signal,
  timeoutMs: 1000,
  outputLimit: 1000,
  onOutput: () => {},
  log: silentLogger,
};

test('a result that breaks its schema does not leave the agent', async () => {
  const run = (output: object | undefined) =>
    pluginExecutor(
      specOf(),
      async () => (output ? { output: output as { done: boolean } } : {}),
      undefined,
    ).run({}, context);
  expect(await run({ done: true })).toMatchObject({ outputEncoding: 'json' });
  expect(await run({ done: 1 })).toMatchObject({ failure: { code: 'result_invalid' }, interrupted: false });
  expect(await run(undefined)).toMatchObject({ failure: { code: 'result_invalid' } });
  expect((await run({ done: 1 })).output).toBeUndefined();
});

const stream = { data: new Uint8Array(), totalBytes: 0, truncated: false };
const program = { exitCode: 0, signal: undefined, stdout: stream, stderr: stream, interrupted: false };
const deep = JSON.parse(`${'{"a":'.repeat(200)}1${'}'.repeat(200)}`);

test.each<[string, unknown, RegExp]>([
  ['nothing', undefined, /what it answers: /],
  ['a text', 'done', /what it answers: /],
  ['a list as output', { output: [] }, /output: /],
  ['a failure without words', { failure: { code: 'broken' } }, /failure\.message: /],
  ['an error as failure', { failure: new Error('broken') }, /failure\.code: /],
  ['an exit code that is none', { program: { ...program, exitCode: 2 ** 40 } }, /program\.exitCode: /],
  ['a signal that is none', { program: { ...program, signal: 'x'.repeat(17) } }, /program\.signal: /],
  ['text for bytes', { program: { ...program, stdout: 'hello' } }, /program\.stdout: /],
  ['a result without a bottom', { output: deep }, /it has more than 100 levels/],
])('an executor that answers %s fails, and says so', async (_what, answer, message) => {
  const spec = specOf({ result: { type: 'object' } });
  const executor = pluginExecutor(spec, async () => answer as object, undefined);
  const { failure, ...rest } = await executor.run({}, context);
  expect(failure).toEqual({ code: 'result_invalid', message: expect.stringMatching(message) });
  expect(rest.output).toBeUndefined();
});

test('a schema cannot bring down, or hold up, who checks by it', () => {
  const args = (more: object) => specOf({ args: { ...object, ...more } });
  expect(() => args({ $async: true })).toThrow('verbs[0].args: must not be $async');
  expect(() => argsFromJson(args({ $ref: '#' }), {})).toThrow('args: is nested too deeply');
  const patterned = args({ properties: { name: { type: 'string', pattern: '^(a+)+$' } } });
  expect(() => argsFromJson(patterned, { name: `${'a'.repeat(60)}!` })).toThrow('args.name: must match');
  expect(argsFromJson(patterned, { name: 'aaa' }).args).toEqual({ name: 'aaa' });
  const price = args({ properties: { price: { type: 'number', multipleOf: 0.01 } } });
  expect(argsFromJson(price, { price: 0.07 }).args).toEqual({ price: 0.07 });
});

test('items that must differ are compared soon, however many they are', () => {
  const items = { type: 'array', items: { type: 'object' }, uniqueItems: true };
  const spec = specOf({ args: { ...object, properties: { items } } });
  const many = Array.from({ length: 20_000 }, (_, n) => ({ n, m: n }));
  expect(argsFromJson(spec, { items: many }).bytes.byteLength).toBeGreaterThan(0);
  const twice = {
    items: [
      { a: 1, b: 2 },
      { b: 2, a: 1 },
    ],
  };
  expect(() => argsFromJson(spec, twice)).toThrow('args.items: must not have the same item twice');
});

test('JSON that is nested deeper than the database reads is no result', () => {
  const spec = specOf({ result: { type: 'object' } });
  const nested = (levels: number) =>
    new TextEncoder().encode(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`);
  expect(resultFromBytes(spec, nested(100), ArgsEncoding.JSON)).toBeDefined();
  expect(resultFromBytes(spec, nested(101), ArgsEncoding.JSON)).toBeUndefined();
  expect(resultFromBytes(spec, nested(100_000), ArgsEncoding.JSON)).toBeUndefined();
});

test('a program that a plug-in runs ends with its verb, and its output is streamed', async () => {
  const controller = new AbortController();
  const executor = pluginExecutor(
    specOf({ result: { type: 'object' } }),
    async (_args, { runProgram }) => ({
      program: await runProgram(['/bin/sh', '-c', 'echo begun; sleep 300']),
    }),
    undefined,
  );
  const onOutput = () => controller.abort('cancelled');
  const outcome = await executor.run({}, { ...context, signal: controller.signal, onOutput });
  expect(outcome).toMatchObject({ interrupted: true, signal: 'SIGTERM' });
});

/** A folder with a file of verbs and a module; answers with the module’s path. */
async function plugin(module: string, verbs = fileOf(verb())): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'viworks-plugin-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  await writeFile(join(dir, 'verbs.json'), verbs);
  await writeFile(join(dir, 'executor.mjs'), module);
  return join(dir, 'executor.mjs');
}

const good =
  "export const verbs = 'verbs.json'; export const executors = { 'test.do': async () => ({ output: { done: true } }) };";
const deps = { log: silentLogger, path: undefined };

test('a module is loaded, and its verbs are there where they can be run', async () => {
  const file = await plugin(good);
  expect((await loadPlugins([file], deps)).map((executor) => executor.verb.name)).toEqual(['test.do']);
  const absent = await plugin(`${good} export const available = () => false;`);
  expect(await loadPlugins([absent], deps)).toEqual([]);
  const broken = await plugin(`${good} export const available = () => { throw new Error('x'); };`);
  expect(await loadPlugins([broken], deps)).toEqual([]);
  const silent = await plugin(`${good} export const available = () => new Promise(() => {});`);
  expect(await loadPlugins([silent], { ...deps, availableMs: 10 })).toEqual([]);
  const whole = await plugin(
    `${good.replaceAll('export const', 'const')} export const plugin = { verbs, executors };`,
  );
  expect(await loadPlugins([whole], deps)).toHaveLength(1);
  await expect(loadPlugins([file, whole], deps)).rejects.toThrow(/test\.do is declared by .* already/);
});

test('the metrics of a module go out with each sample', async () => {
  const metrics = createMetrics();
  const measuring = "export const metrics = { 'test.users': async () => 3 };";
  await loadPlugins([await plugin(`${good} ${measuring}`)], { ...deps, metrics });
  expect(await metrics.source()).toEqual(new Map([['test.users', 3]]));
});

test.each([
  ['metrics that are none', `${good} export const metrics = 1`, /metrics must be an object/],
  ['a metric that is none', `${good} export const metrics = { x: 1 }`, /metrics: x must be a function/],
  [
    'a metric of a name that cannot travel',
    `${good} export const metrics = { X: () => 1 }`,
    /metrics: metric X: must be 1 to 64/,
  ],
  ['syntax', 'export const = 1', /cannot be loaded/],
  ['no verbs', 'export const executors = {}', /must export verbs/],
  ['no executors', "export const verbs = 'verbs.json'", /must export executors/],
  [
    'a missing executor',
    "export const verbs = 'verbs.json'; export const executors = {}",
    /executors lacks test\.do/,
  ],
  [
    'one too many',
    good.replace("'test.do'", "'test.dont'"),
    /executors has test\.dont, which .*verbs\.json does not declare/,
  ],
  [
    'an executor that is none',
    good.replace('async () => ({ output: { done: true } })', '1'),
    /executors: test\.do must be a function/,
  ],
  [
    'a file of verbs that is not there',
    good.replace("'verbs.json'", "'none.json'"),
    /none\.json: cannot be read \(ENOENT\)/,
  ],
])('a module with %s stops the start', async (_what, module, message) => {
  const metrics = createMetrics();
  await expect(loadPlugins([await plugin(module)], { ...deps, metrics })).rejects.toThrow(message);
});
