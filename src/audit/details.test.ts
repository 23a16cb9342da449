import fc from 'fast-check';
import { expect, test } from 'vitest';
import { detailsText, hidden, isPlain, isSuspicious } from './details.ts';

const detailsOf = (value: unknown) => JSON.parse(detailsText(value));

test('what is harmless stays as it is', () => {
  expect(detailsOf({ reason: 'no need', force: true, count: 3n, at: new Date(0) })).toEqual({
    reason: 'no need',
    force: true,
    count: '3',
    at: '1970-01-01T00:00:00.000Z',
  });
  expect(detailsText(undefined)).toBe('{}');
  expect(detailsOf('text')).toEqual({ value: 'text' });
});

test.each([
  [{ password: 'x9y' }],
  [{ user: { apiKey: 'x9y' } }],
  [{ argv: ['login', '--password', 'x9y'] }],
  [{ argv: ['login', '--db-password=x9y'] }],
  [{ env: ['API_TOKEN=x9y'] }],
  [{ argv: ['sh', '-c', 'curl -H "Authorization: Bearer x9y" http://a'] }],
  [{ url: 'postgres://ada:x9y@host/db' }],
  [{ text: '{"client_secret": "x9y"}' }],
])('%j shows no secret', (value) => {
  const text = detailsText(value);
  expect(text).not.toContain('x9y');
  expect(text).toContain(hidden);
});

test('whatever it is, it is a JSON object within the bound, as PostgreSQL takes it', () => {
  fc.assert(
    fc.property(fc.anything({ withDate: true, withNullPrototype: true }), (value) => {
      const text = detailsText(value);
      expect(text.length).toBeLessThan(9000);
      expect(text).not.toContain('\\u0000');
      expect(text.isWellFormed()).toBe(true);
      expect(typeof JSON.parse(text)).toBe('object');
      expect(JSON.stringify(JSON.parse(text))).toBe(text);
    }),
  );
});

test.each(['token', '://', '://a:', 'password ', '"token', '-token-', 'authorization: bearer '])(
  '%j again and again is looked through at once',
  (part) => {
    const text = part.repeat(1_000_000 / part.length);
    const before = performance.now();
    for (const value of [text, { [text]: text }, ['-x', text], [text, text]]) detailsText(value);
    isSuspicious(text);
    expect(performance.now() - before).toBeLessThan(1000);
  },
);

test('what is hidden takes no room from what is kept, and what is not looked at is not shown', () => {
  const { text } = detailsOf({ text: `password=${'x'.repeat(3000)} then ${'y'.repeat(100_000)} x9y` });
  expect(text).toMatch(/^password=\[hidden\] then y+… \(103019 characters\)$/);
});

test('much is cut, and says so', () => {
  const text = detailsText({ agents: Array.from({ length: 1000 }, (_, at) => `agent-${at}`) });
  expect(text.length).toBeLessThan(1000);
  expect(text).toContain('1000 in all');
  expect(isPlain('x'.repeat(1000))).toBe(false);
  expect(isPlain('{"argv":["true"]}')).toBe(true);
});
