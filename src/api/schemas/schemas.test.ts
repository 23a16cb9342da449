import { expect, test } from 'vitest';
import { z } from 'zod';
import { ViworksError } from '../../errors.ts';
import { submitInput } from './commands.ts';
import { streamView } from './executions.ts';
import { invalidRequest } from './problems.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

test('output is text when it is UTF-8, also where the cut went through a character', () => {
  expect(streamView({ data: bytes('grüße'), totalBytes: 7, truncated: false })).toEqual({
    text: 'grüße',
    totalBytes: 7,
    truncated: false,
  });
  expect(streamView({ data: bytes('grü').subarray(0, 3), totalBytes: 99, truncated: true }).text).toBe('gr');
});

test('output that is no UTF-8 is base64', () => {
  const data = new Uint8Array([0xff, 0xfe, 0x00]);
  expect(streamView({ data, totalBytes: 3, truncated: false })).toEqual({
    base64: '//4A',
    totalBytes: 3,
    truncated: false,
  });
  expect(streamView({ data: bytes('grü').subarray(0, 3), totalBytes: 3, truncated: false }).base64).toBe(
    'Z3LD',
  );
});

test('what would be right is said as everywhere, and what a schema says itself stays', () => {
  const schema = z.strictObject({
    state: z.enum(['on', 'off']),
    ms: z.number().min(1000).max(5000),
    name: z.string().min(3),
    list: z.array(z.string()).max(2),
    own: z.number().min(1, 'must be a port'),
  });
  const problems = (input: unknown) => {
    const { error } = schema.safeParse(input);
    return error && invalidRequest(error).fields.map(({ field, problem }) => `${field}: ${problem}`);
  };
  expect(problems({ state: 'maybe', ms: 1, name: 'ab', list: ['a', 'b', 'c'], own: 0 })).toEqual([
    'state: must be one of on, off',
    'ms: must be at least 1000',
    'name: must have at least 3 characters',
    'list: must have at most 2 items',
    'own: must be a port',
  ]);
  expect(problems({ state: 'on', ms: 5001, name: 'abc', list: [], own: 1 })).toEqual([
    'ms: must be at most 5000',
  ]);
});

function fieldsOf(input: unknown): string[] {
  const parsed = submitInput.safeParse(input);
  return parsed.success ? [] : invalidRequest(parsed.error).fields.map(({ field }) => field);
}

test.each([
  [{ verb: 'exec', target: { all: true } }, []],
  [{}, ['verb', 'target']],
  [{ verb: 'exec', target: {} }, ['target']],
  [{ verb: 'exec', target: { all: false } }, ['target.all']],
  [{ verb: 'exec', target: { agents: ['a'], site: 'b' } }, ['target']],
  [{ verb: 'exec', target: { agents: ['a', '-', 'b', 7] } }, ['target.agents[1]', 'target.agents[3]']],
  [{ verb: 'exec', target: { all: true }, timeoutMs: 1.5, nonsense: 1 }, ['timeoutMs', 'nonsense']],
  [{ verb: 'exec', target: { all: true }, timeToLiveMs: 999 }, ['timeToLiveMs']],
  [{ verb: 'exec', target: { all: true }, timeToLiveMs: 30 * 86_400_000 + 1 }, ['timeToLiveMs']],
  ['exec', ['(request)']],
  [{ verb: 'exec', target: { all: true }, constructor: 1 }, ['constructor']],
  [
    JSON.parse('{"verb": "exec", "target": {"all": true}, "toString": 1, "__proto__": 1}'),
    ['toString', '__proto__'],
  ],
])('of %j the wrong fields are %j', (input, fields) => {
  expect(fieldsOf(input)).toEqual(fields);
});

test('one command names at most 10,000 agents', () => {
  const agents = Array.from({ length: 10_001 }, (_, index) => `a${index}`);
  expect(fieldsOf({ verb: 'exec', target: { agents } })).toEqual(['target.agents']);
  expect(fieldsOf({ verb: 'exec', target: { agents: agents.slice(1) } })).toEqual([]);
});

test('a field has the name that the caller knows it by', () => {
  const parsed = z.strictObject({ lifetimeMs: z.int() }).safeParse({ lifetimeMs: 'x' });
  const error = parsed.error && invalidRequest(parsed.error, { lifetimeMs: 'lifetime' });
  expect(error).toBeInstanceOf(ViworksError);
  expect(error?.message).toMatch(/^lifetime: /);
});

test('of very many wrong fields a hundred are named, and too many labels are not looked at', () => {
  const many = (name: string) =>
    Object.fromEntries(Array.from({ length: 80_000 }, (_, n) => [name + n, '1']));
  expect(fieldsOf({ verb: 'exec', target: { all: true }, ...many('x') })).toHaveLength(100);
  expect(fieldsOf({ verb: 'exec', target: { selector: { labels: many('X') } } })).toEqual([
    'target.selector.labels',
  ]);
  const labels = Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`label-${n}`, 'x']));
  expect(fieldsOf({ verb: 'exec', target: { selector: { labels } } })).toEqual([]);
  expect(fieldsOf({ verb: 'exec', target: { selector: { labels: { A: 'x' } } } })).toEqual([
    'target.selector.labels.A',
  ]);
});
