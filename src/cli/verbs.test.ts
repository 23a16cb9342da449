import { expect, test } from 'vitest';
import { verbDetailView } from '../api/schemas/verbs.ts';
import { parsePluginVerbs } from '../protocol/plugin-verbs.ts';
import { argsFromJson } from '../protocol/verb-values.ts';
import { builtInVerbs, createVerbCatalogue, type VerbSpec } from '../protocol/verbs.ts';
import { parseArgs } from './run-args.ts';
import { explained } from './verbs.ts';

const plugin = parsePluginVerbs(
  'x.json',
  JSON.stringify({
    verbs: [
      {
        name: 'test.do',
        summary: 'Do it',
        effect: 'once',
        risk: 'low',
        capability: 'test',
        positional: 'names',
        args: {
          type: 'object',
          additionalProperties: false,
          required: ['names', 'size', 'mode'],
          properties: {
            names: {
              type: 'array',
              minItems: 1,
              items: { type: 'string', pattern: '^[a-z]+$' },
              examples: [['a', 'b']],
            },
            size: { type: 'integer', minimum: 1, maximum: 9 },
            mode: { enum: ['slow', 'fast'], description: "what's wanted" },
            limits: { type: 'object', additionalProperties: { type: 'number' } },
            where: {
              type: 'object',
              additionalProperties: false,
              properties: { site: { type: 'string' }, port: { type: 'integer' } },
            },
            extra: {},
          },
        },
      },
    ],
  }),
);
const catalogue = createVerbCatalogue([plugin]);

/** Reads an example as a shell and `viworks run` do. */
function typedIn(verb: VerbSpec, example: string) {
  const words = [...example.matchAll(/'((?:[^']|'\\'')*)'|(\S+)/g)].map(([, a, b]) => a ?? b ?? '');
  expect(words.splice(0, 3)).toEqual(['viworks', 'run', verb.name]);
  const named: string[] = [];
  const positional: string[] = [];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '--') positional.push(...words.splice(0));
    else if (word === '--arg') named.push(words.shift() ?? '');
    else if (word === '--agent') words.shift();
    else if (word !== '--all') positional.push(word);
  }
  return { named, positional, json: undefined };
}

test.each([...builtInVerbs, ...plugin.verbs])('the example of $name is one', (verb) => {
  const { example } = verbDetailView(verb);
  const args = parseArgs(verb.name, typedIn(verb, example), catalogue);
  expect(() => argsFromJson(verb, args)).not.toThrow();
});

test('every arg of a built-in verb is explained, and its default and choices are told', () => {
  const silent = builtInVerbs.flatMap((verb) =>
    verbDetailView(verb).args.flatMap(({ name, help }) => (help === '' ? `${verb.name} ${name}` : [])),
  );
  expect(silent).toEqual([]);
  const run = catalogue.get('docker.run');
  const fields = new Map(run && verbDetailView(run).args.map((field) => [field.name, field]));
  expect(fields.get('image')).toMatchObject({
    type: 'text',
    required: true,
    rule: expect.stringMatching(/^matches \^/),
  });
  expect(fields.get('pull')).toMatchObject({ choices: ['always', 'missing', 'never'], default: 'missing' });
  expect(fields.get('environment')).toMatchObject({ type: 'map of text', required: false });
  expect(fields.get('memory_bytes')?.rule).toBe('must be 0 for no limit, or at least 6 MiB');
  const tail = catalogue.get('docker.logs');
  expect(tail && verbDetailView(tail).args.find(({ name }) => name === 'tail')).toMatchObject({
    type: 'whole number',
    default: '1000',
    rule: 'at most 1000000',
  });
});

test('the properties of a JSON Schema are explained in the same words', () => {
  const [verb] = plugin.verbs;
  const { args, argsSchema } = verbDetailView(verb as VerbSpec);
  expect(
    args.map(({ name, type, required, rule, choices }) => [name, type, required, rule, choices.length]),
  ).toEqual([
    ['names', 'list of text', true, 'at least 1 item; each matches ^[a-z]+$', 0],
    ['size', 'whole number', true, 'at least 1; at most 9', 0],
    ['mode', 'choice', true, '', 2],
    ['limits', 'map of number', false, '', 0],
    ['where', 'object', false, '', 0],
    ['extra', 'JSON', false, '', 0],
  ]);
  expect(argsSchema).toMatchObject({ type: 'object' });
});

test('args of a plug-in are read in the types of its schema', () => {
  const named = [
    'size=3',
    'mode=fast',
    'limits.cpu=1.5',
    'where.site=berlin',
    'where.port=80',
    'extra={"a": [1]}',
  ];
  expect(parseArgs('test.do', { positional: ['a', 'b'], named, json: undefined }, catalogue)).toEqual({
    names: ['a', 'b'],
    size: 3,
    mode: 'fast',
    limits: { cpu: 1.5 },
    where: { site: 'berlin', port: 80 },
    extra: { a: [1] },
  });
  const wrong =
    (...items: string[]) =>
    () =>
      parseArgs('test.do', { positional: [], named: items, json: undefined }, catalogue);
  expect(wrong('size=many')).toThrow(/size is a whole number/);
  expect(wrong('extra={')).toThrow(/extra is JSON/);
  expect(wrong('sise=1')).toThrow(/did you mean size\?/);
});

test('an explained verb has its headings in bold, and nothing else that a terminal acts on', () => {
  const [verb] = plugin.verbs;
  const hostile = JSON.parse(
    JSON.stringify({ ...verbDetailView(verb as VerbSpec), summary: 'Do\u001b[2J it' }),
  );
  const bold = (_format: unknown, text: string) => `\u001b[1m${text}\u001b[22m`;
  const lines = explained(hostile, { style: bold });
  expect(lines[0]).toBe('\u001b[1mtest.do\u001b[22m  Do\\x1b[2J it');
  expect(lines).toContain('\u001b[1mArgs\u001b[22m');
});
