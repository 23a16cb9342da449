import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { type Sample, SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { createBook } from './book.ts';
import { type Forecasts, seeSample, type WatchedAgent } from './evaluate.ts';
import { checkRule, seededRules } from './rules.ts';
import type { Rule, RuleInput } from './types.ts';

/** What rules make of disks, and of parts that could not be read. */

const then = new Date(0);
const ruleOf = (input: RuleInput): Rule => ({
  ...checkRule({ ...input, forMs: 0, clearForMs: 0 }),
  revision: 1,
  updatedBy: '',
  createdAt: then,
  updatedAt: then,
});
const seeded = (name: string): Rule => {
  const found = seededRules.find((rule) => rule.name === name);
  if (found === undefined) throw new Error(`there is no rule ${name}`);
  return ruleOf(found);
};
const agent: WatchedAgent = {
  agentId: 'alpha',
  site: 'berlin',
  labels: {},
  capabilities: [],
  os: 'linux',
  presence: 'online',
  maintenance: false,
  seen: true,
};

/** Looks at samples one after the other, and says which alerts there are after each. */
function watching(...rules: Rule[]) {
  const book = createBook();
  const forecasts: Forecasts = new Map();
  let at = 0;
  return (parts: object, afterMs = 30_000): string[] => {
    at += afterMs;
    const draft = book.draft();
    const context = { draft, silenced: () => false, refused: () => {} };
    const sample = create(SampleSchema, parts as Sample);
    seeSample(context, { agent, rules, forecasts, at, late: false, sample });
    draft.commit();
    const firing = book.draft().of(agent.agentId);
    return firing
      .filter(({ status }) => status.state === 'firing')
      .map(({ rule, subject }) => `${rule} ${subject}`)
      .sort();
  };
}

const disk = (mount: string, percent: number) => ({
  mount,
  fileSystem: 'ext4',
  totalBytes: 100_000n,
  usedBytes: BigInt(Math.round(percent * 1000)),
});
const unread = ['disks'];

test('a disk that takes no more is critical, though root could still write to it', () => {
  const see = watching(seeded('disk-critical'));
  const root = { ...disk('/', 95), availableBytes: 0n };
  expect(see({ disks: [{ ...disk('/', 95), availableBytes: 5000n }] })).toEqual([]);
  expect(see({ disks: [root] })).toEqual(['disk-critical /']);
});

test('a disk that does not answer switches off no alert of another one, and its own goes on', () => {
  const see = watching(seeded('disk-critical'));
  expect(see({ disks: [disk('/', 50), disk('/data', 99)] })).toEqual(['disk-critical /data']);
  expect(see({ disks: [disk('/', 99)], unread })).toEqual(['disk-critical /', 'disk-critical /data']);
  expect(see({ disks: [disk('/', 50)], unread })).toEqual(['disk-critical /data']);
  // Of none nothing is known.
  expect(see({ disks: [], unread })).toEqual(['disk-critical /data']);
  expect(see({ disks: [disk('/', 50)] })).toEqual([]);
});

test.each([
  ['containers', { id: '1', name: 'shop', health: 'unhealthy' }, { id: '2', name: 'other' }],
  ['services', { name: 'shop', state: 'failed' }, { name: 'other', state: 'active' }],
])('of %s that could not all be read those count that were', (part, ill, well) => {
  const see = watching(seeded('container-unhealthy'), seeded('service-down'));
  const rule = part === 'services' ? 'service-down' : 'container-unhealthy';
  expect(see({ [part]: [ill], unread: [part] })).toEqual([`${rule} shop`]);
  expect(see({ [part]: [well], unread: [part] })).toEqual([`${rule} shop`]);
  expect(see({ [part]: [], unread: [part] })).toEqual([`${rule} shop`]);
  expect(see({ [part]: [well] })).toEqual([]);
});

test('a disk is forecast until nothing is available, while another one does not answer', () => {
  const soon = ruleOf({ name: 'soon', severity: 'warning', metric: 'disk.full_hours', threshold: 24 });
  const see = watching(soon);
  // One percent an hour, from 80, and 5 are for root alone: at 81 it takes 14 hours, and not 19.
  const filling = (n: number) => {
    const percent = 80 + n / 120;
    return { ...disk('/', percent), availableBytes: BigInt(Math.round((95 - percent) * 1000)) };
  };
  for (let n = 0; n < 120; n++) see({ disks: [filling(n), disk('/data', 10)], unread: n % 2 ? unread : [] });
  expect(see({ disks: [filling(120)], unread })).toEqual(['soon /']);
  const closer = watching(ruleOf({ ...soon, name: 'closer', threshold: 15 }));
  let seen: string[] = [];
  for (let n = 0; n <= 120; n++) seen = closer({ disks: [filling(n)] });
  expect(seen).toEqual(['closer /']);
});

test('what was seen of a disk is not forgotten while it does not answer', () => {
  const see = watching(
    ruleOf({ name: 'soon', severity: 'warning', metric: 'disk.full_hours', threshold: 24 }),
  );
  const filling = (n: number) => disk('/data', 90 + n / 24);
  for (let n = 0; n < 60; n++) see({ disks: [disk('/', 10), filling(n)] });
  for (let n = 60; n < 70; n++) see({ disks: [disk('/', 10)], unread });
  expect(see({ disks: [disk('/', 10), filling(70)] })).toEqual(['soon /data']);
  // Of one that is gone nothing is kept.
  const gone = watching(
    ruleOf({ name: 'soon', severity: 'warning', metric: 'disk.full_hours', threshold: 24 }),
  );
  for (let n = 0; n < 60; n++) gone({ disks: [disk('/', 10), filling(n)] });
  gone({ disks: [disk('/', 10)] });
  expect(gone({ disks: [disk('/', 10), filling(61)] })).toEqual([]);
});
