import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkSpec } from '../commands/submission/specs.ts';
import { matchesWhole } from '../lib/pattern.ts';
import { builtInCatalogue } from '../protocol/verbs.ts';
import { readParameters } from './parameters.ts';
import { fillArgs, placesIn } from './placeholders.ts';
import { checkTemplate, renderTemplate } from './render.ts';
import type { Parameter, TemplateInput } from './types.ts';

const check = (input: Parameters<typeof checkSpec>[0]) =>
  void checkSpec(input, { timeToLiveMs: 60_000, verbs: builtInCatalogue });
const exec = (argv: string[], parameters: Parameter[] = [], more: object = {}): TemplateInput => ({
  name: 't',
  parameters,
  command: { verb: 'exec', args: { argv, ...more }, target: { site: 'berlin' } },
});
const saved = (template: TemplateInput) => checkTemplate(template, check);
const text = (name: string, more: Partial<Parameter> = {}): Parameter => ({ name, type: 'string', ...more });
const used = (template: TemplateInput, params: Record<string, unknown>) =>
  renderTemplate(template, { params }).args;

describe('places', () => {
  test('a place alone keeps the type of the value; in a longer text it is text', () => {
    const values = new Map<string, string | number | boolean>([
      ['n', 5],
      ['on', true],
      ['s', 'a b'],
    ]);
    const args = {
      limit: '{{n}}',
      path: '/{{ s }}/{{n}}.log',
      on: '{{on}}',
      list: ['{{s}}', ['{{n}}', '{{ n | text }}']],
    };
    expect(fillArgs(args, values)).toEqual({
      limit: 5,
      path: '/a b/5.log',
      on: true,
      list: ['a b', [5, '5']],
    });
  });

  test('braces without a name are no place, and a backslash makes one a text', () => {
    const args = { argv: ['docker', 'ps', '--format', '{{.Names}} {{ json . }}', '\\{{name}}'] };
    expect(placesIn(args)).toEqual([]);
    expect(fillArgs(args, new Map([['name', 'x']]))).toEqual({
      argv: ['docker', 'ps', '--format', '{{.Names}} {{ json . }}', '{{name}}'],
    });
  });

  test('whatever a value is, an item of a list stays one item, and its text is not read again', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        const values = new Map([
          ['a', a],
          ['b', b],
        ]);
        const filled = fillArgs({ argv: ['echo', '{{a}}', '<{{b}}|{{a}}>'] }, values);
        expect(filled).toEqual({ argv: ['echo', a, `<${b}|${a}>`] });
      }),
      { examples: [['{{b}}', '$& $1 {{a}}']] },
    );
  });

  test('args without places come out as they went in', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (args) => {
        fc.pre(!JSON.stringify(args).includes('{{'));
        expect(fillArgs(args as never, new Map())).toEqual(args);
      }),
    );
  });

  test('an optional value that is absent leaves out its field and its item', () => {
    const template = exec(
      ['ls', '{{flag}}', '/'],
      [text('flag', { required: false }), text('dir', { required: false, example: '/tmp' })],
      { workingDirectory: '{{dir}}' },
    );
    saved(template);
    expect(used(template, {})).toEqual({ argv: ['ls', '/'] });
    expect(used(template, { flag: '-l', dir: '/srv' })).toEqual({
      argv: ['ls', '-l', '/'],
      workingDirectory: '/srv',
    });
  });
});

describe('a template is refused when it is saved', () => {
  test.each<[string, TemplateInput, string]>([
    ['a place without a parameter', exec(['ls', '{{dir}}']), 'command.args.argv[1]: {{dir}} names no'],
    ['a parameter without a place', exec(['ls'], [text('dir')]), 'parameters[0].name: {{dir}} is nowhere'],
    ['two of a name', exec(['{{a}}'], [text('a'), text('a')]), 'parameters[1].name: is the name'],
    [
      'a place in a key',
      exec(['ls'], [text('a')], { environment: { '{{a}}': 'x' } }),
      'command.args.environment.{{a}}: a parameter cannot',
    ],
    [
      'a place in the verb',
      { ...exec(['ls']), command: { verb: '{{v}}' } },
      'command.verb: a parameter cannot',
    ],
    [
      'an optional one inside a text',
      exec(['ls', '/{{dir}}'], [text('dir', { required: false })]),
      'command.args.argv[1]: {{dir}} is inside a text',
    ],
    ['args that the verb refuses', exec([], []), 'command.args.argv'],
    ['a value of the wrong type', exec(['{{n}}'], [{ name: 'n', type: 'integer' }]), 'args.argv: '],
    [
      'a default out of bounds',
      exec(['{{a}}'], [text('a', { max: 2, default: 'abc' })]),
      'parameters[0].default',
    ],
    ['a broken pattern', exec(['{{a}}'], [text('a', { pattern: 'a)|(b' })]), 'parameters[0].pattern'],
    [
      'a pattern without an example',
      exec(['{{a}}'], [text('a', { pattern: '\\d+' })]),
      'parameters[0].example',
    ],
    ['min above max', exec(['{{a}}'], [text('a', { min: 3, max: 2 })]), 'parameters[0].max'],
    ['an enum without values', exec(['{{a}}'], [{ name: 'a', type: 'enum' }]), 'parameters[0].values'],
    ['values of a string', exec(['{{a}}'], [text('a', { values: ['x'] })]), 'parameters[0].values'],
    [
      'a required default',
      exec(['{{a}}'], [text('a', { default: 'x', required: true })]),
      'parameters[0].required',
    ],
  ])('%s', (_what, template, message) => {
    expect(() => saved(template)).toThrow(message);
  });

  test('what only the example makes wrong is put right by another example', () => {
    const file = (parameter: Parameter): TemplateInput => ({
      name: 't',
      parameters: [parameter],
      command: { verb: 'file.read', args: { path: '{{path}}' } },
    });
    expect(() => saved(file(text('path')))).toThrow('command.args.path');
    saved(file(text('path', { example: '/etc/hosts' })));
  });
});

describe('values', () => {
  const parameters: Parameter[] = [
    text('name', { pattern: '[a-z]+', example: 'web' }),
    { name: 'count', type: 'integer', min: 1, max: 10, default: 3 },
    { name: 'share', type: 'number', default: 0.5 },
    { name: 'dry', type: 'boolean', default: false },
    { name: 'mode', type: 'enum', values: ['soft', 'hard'], default: 'soft' },
  ];

  test('defaults fill what is not given, and texts are read by the type', () => {
    expect(Object.fromEntries(readParameters(parameters, { name: 'web' }))).toEqual({
      name: 'web',
      count: 3,
      share: 0.5,
      dry: false,
      mode: 'soft',
    });
    const typed = { name: 'db', count: '7', share: '1.25', dry: 'true', mode: 'hard' };
    expect(Object.fromEntries(readParameters(parameters, typed))).toEqual({
      name: 'db',
      count: 7,
      share: 1.25,
      dry: true,
      mode: 'hard',
    });
  });

  test.each([
    [{}, 'params.name: must be given'],
    [{ name: 'Web' }, 'params.name: must match [a-z]+'],
    [{ name: 'web\n' }, 'params.name: must match'],
    [{ name: 5 }, 'params.name: must be text'],
    [{ name: 'web', count: 11 }, 'params.count: must be from 1 to 10'],
    [{ name: 'web', count: 1.5 }, 'params.count: must be a whole number'],
    [{ name: 'web', count: '' }, 'params.count: must be a whole number'],
    [{ name: 'web', share: 'Infinity' }, 'params.share: must be a number'],
    [{ name: 'web', dry: 'yes' }, 'params.dry: must be true or false'],
    [{ name: 'web', mode: 'other' }, 'params.mode: must be one of soft, hard'],
    [{ name: 'web', nmae: 'x' }, 'params.nmae: there is no such parameter'],
    [{ name: 'web', constructor: 'x' }, 'params.constructor: there is no such parameter'],
  ])('%j is refused', (given, message) => {
    expect(() => readParameters(parameters, given)).toThrow(message);
  });

  test('every integer within bounds is taken as it is and as text, and no other', () => {
    const parameter: Parameter = { name: 'n', type: 'integer', min: -5, max: 5 };
    fc.assert(
      fc.property(fc.integer({ min: -20, max: 20 }), (n) => {
        const read = () => readParameters([parameter], { n }).get('n');
        if (n < -5 || n > 5) expect(read).toThrow('from -5 to 5');
        else {
          expect(read()).toBe(n);
          expect(readParameters([parameter], { n: String(n) }).get('n')).toBe(n);
        }
      }),
    );
  });

  test('a pattern that would never be done with is given up', () => {
    expect(matchesWhole('(a+)+', `${'a'.repeat(40)}!`)).toBeUndefined();
    expect(matchesWhole('(a+)+', 'aaa')).toBe(true);
  });

  test('of many such patterns the first one is the end of it', () => {
    const parameters = Array.from({ length: 50 }, (_, n) => text(`p${n}`, { pattern: '(a+)+' }));
    const params = Object.fromEntries(parameters.map(({ name }) => [name, `${'a'.repeat(40)}!`]));
    try {
      readParameters(parameters, params);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({
        fields: [{ field: 'params.p0', problem: 'must match (a+)+, which takes too long to tell' }],
      });
    }
  });

  test('a long value in many places is refused before it fills the memory', () => {
    const line = '{{a}}.'.repeat(10_000);
    const template = exec(['echo', line, line], [text('a', { example: 'x' })]);
    expect(used(template, { a: 'y' })).toBeDefined();
    for (const each of [template, exec(Array(10_000).fill('{{a}}'), [text('a', { example: 'x' })])])
      expect(() => used(each, { a: 'y'.repeat(16_384) })).toThrow(/^args: must be at most 524288 bytes/);
  });

  test('agents come from whoever uses it before the template, and must come from one of them', () => {
    const { command, ...rest } = exec(['ls']);
    const target = { agents: ['a-1'] };
    expect(renderTemplate({ command, ...rest }, { params: {} }).target).toEqual({ site: 'berlin' });
    expect(renderTemplate({ command, ...rest }, { params: {}, target }).target).toEqual(target);
    const nowhere = { ...rest, command: { ...command, target: undefined } };
    expect(() => renderTemplate(nowhere, { params: {} })).toThrow('target: must be given');
  });
});
