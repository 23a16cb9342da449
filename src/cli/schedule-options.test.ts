import { describe, expect, test } from 'vitest';
import { actionOf, timingOf } from './schedule-options.ts';

describe('when', () => {
  const before = {
    cron: '0 3 * * *',
    timeZone: 'Europe/Berlin',
    missed: 'once',
    catchUpWithinMs: 60_000,
    overlap: 'skip',
  } as const;

  test('what is said is sent, and nothing else', () => {
    expect(timingOf({ cron: '0 3 * * *' })).toEqual({ cron: '0 3 * * *' });
    expect(timingOf({ at: '2030-01-31T03:00:00+01:00', missed: 'once' })).toEqual({
      at: '2030-01-31T02:00:00.000Z',
      missed: 'once',
    });
    expect(timingOf({})).toBeUndefined();
  });

  test('a change keeps what it does not say', () => {
    expect(timingOf({}, before)).toBeUndefined();
    expect(timingOf({ overlap: 'allow' }, before)).toEqual({ ...before, overlap: 'allow' });
    expect(timingOf({ cron: '0 4 * * *' }, before)).toEqual({ ...before, cron: '0 4 * * *' });
    expect(timingOf({ timeZone: 'UTC' }, before)).toEqual({ ...before, timeZone: 'UTC' });
    const { cron: _, timeZone: _zone, ...policy } = before;
    expect(timingOf({ at: '2030-01-31T03:00:00Z' }, before)).toEqual({
      at: '2030-01-31T03:00:00.000Z',
      ...policy,
    });
  });

  test.each([
    [{ cron: '0 3 * * *', at: '2030-01-31T03:00:00Z' }, 'choose one of'],
    [{ at: '2030-01-31T03:00:00' }, '--at: must be a time with Z'],
    [{ at: 'tomorrow' }, '--at: must be a time with Z'],
    [{ at: '2030-01-31T03:00:00Z', timeZone: 'UTC' }, '--time-zone: is for --cron'],
    [{ timeZone: 'UTC' }, '--time-zone: is for --cron'],
    [{ missed: 'once' as const }, 'say when it runs'],
  ])('%j is refused', (options, message) => {
    expect(() => timingOf(options)).toThrow(message);
  });
});

describe('what', () => {
  test('a verb with its args, or a template with its values', () => {
    expect(actionOf('exec', ['true'], { all: true, retries: 2, priority: 'low' })).toEqual({
      command: {
        verb: 'exec',
        args: { argv: ['true'] },
        target: { all: true },
        maxRetries: 2,
        priority: 'low',
      },
    });
    expect(actionOf(undefined, [], { template: 't', param: ['a=1=2', 'b='], site: 's' })).toEqual({
      template: { name: 't', params: { a: '1=2', b: '' }, target: { site: 's' } },
    });
    expect(actionOf(undefined, [], {})).toBeUndefined();
  });

  test.each([
    ['exec', { template: 't', all: true }, 'not both'],
    [undefined, { template: 't', timeout: 5 }, '--timeout: is for a verb'],
    [undefined, { template: 't', maxInFlight: 5 }, '--max-in-flight: is for a verb'],
    [undefined, { template: 't', param: ['=x'] }, 'write NAME=VALUE'],
    [undefined, { template: 't', param: ['a=x', 'a=y'] }, 'a was given before'],
    ['exec', { param: ['a=x'], all: true }, '--param: is for --template'],
    [undefined, { all: true }, '--all: needs a verb'],
    ['exec', {}, 'choose the agents'],
  ])('%s with %j is refused', (verb, options, message) => {
    expect(() => actionOf(verb, ['true'], options)).toThrow(message);
  });
});
