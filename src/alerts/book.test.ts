import { expect, test } from 'vitest';
import { createBook, type Draft, newEntry } from './book.ts';
import { checkRule } from './rules.ts';
import { end, observe } from './state.ts';

const then = new Date('2030-01-01T00:00:00Z');
const input = { name: 'down', severity: 'info', metric: 'service.down', threshold: 0 } as const;
const rule = { ...checkRule(input), revision: 1, updatedBy: 'ada', createdAt: then, updatedAt: then };
const agent = { agentId: 'web-1', site: 'berlin' };
const seen = (at: number) => ({ at, value: 1, late: false, silenced: false });

function begin(draft: Draft, subject: string, { agentId } = agent): void {
  const { next } = observe(rule, undefined, seen(1000));
  if (next !== undefined) draft.set(undefined, newEntry(rule, { ...agent, agentId }, subject, next));
}

/** A book with so many alerts of the agent. */
function bookOf(count: number) {
  const book = createBook();
  const draft = book.draft();
  for (let n = 0; n < count; n++) begin(draft, `service-${n}`);
  draft.commit();
  return book;
}

function change(draft: Draft, subject: string, how: 'goes on' | 'ends'): void {
  const entry = draft.find('web-1', 'down', subject);
  if (entry === undefined) throw new Error(`there is none of ${subject}`);
  const { next } = how === 'ends' ? end(entry.status, 2000, 'over') : observe(rule, entry.status, seen(2000));
  draft.set(entry, next && { ...entry, status: next });
}

test('an agent has 2000 alerts at most, however many of them a draft changes', () => {
  const book = bookOf(1999);
  const draft = book.draft();
  for (let n = 0; n < 1999; n++) change(draft, `service-${n}`, 'goes on');
  expect(draft.hasRoom('web-1')).toBe(true);
  begin(draft, 'another');
  expect(draft.hasRoom('web-1')).toBe(false);
  expect(draft.hasRoom('web-2')).toBe(true);
  draft.commit();
  expect(book.size).toBe(2000);
  expect(book.draft().hasRoom('web-1')).toBe(false);
});

test('one that ends makes room for another, once', () => {
  const draft = bookOf(2000).draft();
  change(draft, 'service-0', 'ends');
  expect(draft.hasRoom('web-1')).toBe(true);
  begin(draft, 'service-0');
  expect(draft.hasRoom('web-1')).toBe(false);
});

test('what begins and is over within a draft takes no room', () => {
  const draft = bookOf(1999).draft();
  begin(draft, 'short');
  expect(draft.hasRoom('web-1')).toBe(false);
  change(draft, 'short', 'ends');
  expect(draft.hasRoom('web-1')).toBe(true);
});
