import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiApp, startApiApp } from '../support/api-app.ts';

/** Whatever callers write where a page, a time or a text belongs is taken or refused, and never a defect of ours. */

let app: ApiApp;
let token: string;
let commandId: string;

beforeAll(async () => {
  app = await startApiApp();
  await app.addAgents('bern', 'known');
  token = await app.tokenFor('admin');
  const { commands } = await app.client('operator');
  ({
    command: { commandId },
  } = await commands.submit.mutate({
    verb: 'exec',
    args: { argv: ['true'] },
    target: { agents: ['known'] },
  }));
});

afterAll(() => app.stop());

const headers = () => ({ 'content-type': 'application/json', authorization: `Bearer ${token}` });
const inUrl = (path: string, input: unknown) =>
  `${app.url}/trpc/${path}?input=${encodeURIComponent(JSON.stringify(input))}`;
const query = (path: string, input: unknown) => fetch(inUrl(path, input), { headers: headers() });
const mutate = (path: string, input: unknown) =>
  fetch(`${app.url}/trpc/${path}`, { method: 'POST', headers: headers(), body: JSON.stringify(input) });

const most = '9'.repeat(30);
const hash = '0'.repeat(64);
const keys = [
  '',
  '-1',
  most,
  'x\0',
  "'",
  '%',
  '-'.repeat(36),
  '0'.repeat(36),
  'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF',
  '{00000000-0000-0000-0000-000000000000}',
  '00000000-0000-0000-0000-000000000000',
  `${most}/${hash}/${most}/-1/`,
  `1/${hash}/1/1/${most}`,
  `1/${hash}/1/-9007199254740993/`,
  '2026-99-99',
  '60 999999999999999',
  '999999999999999 00 9999999999999999',
];

test.each([
  'agents.list',
  'commands.list',
  'commands.get',
  'rollouts.list',
  'templates.list',
  'schedules.list',
  'audit.list',
  'audit.verify',
  'certs.list',
  'tokens.list',
  'enrollment.listTokens',
  'enrollment.listRequests',
  'alerts.list',
  'alerts.listRules',
  'alerts.listSilences',
  'alerts.listDeadLetters',
  'telemetry.latest',
  'telemetry.samples',
  'telemetry.series',
  'telemetry.aggregate',
  'telemetry.sites',
])('pages of %s', async (path) => {
  const bases: Record<string, object> = {
    'commands.get': { commandId },
    'telemetry.samples': { agentId: 'known' },
    'telemetry.series': { agentId: 'known' },
    'telemetry.aggregate': { metric: 'cpu' },
  };
  const base = bases[path] ?? {};
  for (const key of keys) {
    for (const pageToken of [key, Buffer.from(key).toString('base64url')])
      expect([pageToken, (await query(path, { ...base, pageToken })).status]).toEqual([
        pageToken,
        expect.toBeOneOf([200, 400]),
      ]);
  }
});

test.each(['a\0b', '\ud800', '\udc00x', '%', "'", '\\', '\u202e'])('a text %j', async (text) => {
  const target = { agents: ['known'] };
  const command = { verb: 'exec', args: { argv: ['true'] }, target };
  const rule = { name: 'odd', severity: 'info', metric: 'cpu.percent', threshold: 1 };
  const calls: [path: string, input: object][] = [
    ['commands.submit', { ...command, idempotencyKey: text }],
    ['commands.submit', { ...command, correlationId: text }],
    ['commands.submit', { ...command, args: { argv: [text] } }],
    ['commands.submit', { ...command, target: { selector: { labels: { a: text } } } }],
    ['commands.submit', { ...command, target: { selector: { capabilities: [text] } } }],
    ['commands.cancel', { commandId, reason: text }],
    ['commands.retry', { commandId, idempotencyKey: text }],
    ['agents.setStatus', { agentId: 'known', maintenance: false, reason: text }],
    ['tokens.create', { name: text, role: 'viewer' }],
    ['tokens.createApi', { subject: text, role: 'viewer' }],
    ['tokens.revoke', { tokenId: text }],
    ['tokens.createEnrollment', { site: 'bern', labels: { a: text } }],
    ['enrollment.createToken', { site: 'bern', labels: { a: text } }],
    ['enrollment.reject', { requestId: commandId, reason: text }],
    ['alerts.silence', { of: { subject: text }, lifetimeMs: 1000, reason: text }],
    ['alerts.saveRule', { ...rule, description: text, selector: { labels: { a: text }, os: [text] } }],
    ['certs.revoke', { serial: '0a', reason: text }],
    ['keys.revoke', { keyId: '0'.repeat(32), reason: text }],
    ['schedules.create', { name: 'odd', description: text, timing: { cron: text, timeZone: text }, command }],
    [
      'templates.save',
      { name: 'odd', description: text, parameters: [{ name: 'p', type: 'string', default: text }], command },
    ],
  ];
  for (const [path, input] of calls)
    expect([path, (await mutate(path, input)).status]).toEqual([path, expect.toSatisfy((s) => s < 500)]);
});

test.each(['a\0b', '\ud800', '%', "'"])('a text %j that telemetry is chosen by', async (text) => {
  for (const filter of [{ labels: { a: text } }, { os: [text] }, { capabilities: [text] }])
    for (const [path, input] of [
      ['telemetry.aggregate', { metric: 'cpu', filter }],
      ['telemetry.sites', { filter }],
      ['telemetry.latest', { filter: 'labels' in filter ? filter : {} }],
    ] as const)
      expect([path, filter, (await query(path, input)).status]).toEqual([
        path,
        filter,
        expect.toBeOneOf([200, 400]),
      ]);
  const response = await fetch(`${app.url}/viworks.control.v1.ControlService/ListDeadLetters`, {
    method: 'POST',
    headers: headers(),
    body: JSON.stringify({ webhook: text }),
  });
  expect(response.status).toBeOneOf([400, 404]);
});

test.each(['0000-01-01T00:00:00Z', '9999-12-31T23:59:59.999Z', '2026-01-01T00:00:00.999999999999Z'])(
  'a time %s',
  async (time) => {
    for (const [path, input] of [
      ['commands.list', { filter: { createdAfter: time, createdBefore: time } }],
      ['audit.list', { filter: { since: time, until: time } }],
      ['schedules.next', { timing: { at: time }, count: 3 }],
      ['telemetry.samples', { agentId: 'known', from: time }],
      ['telemetry.samples', { agentId: 'known', from: '1970-01-01T00:00:00Z', to: time }],
      ['telemetry.series', { agentId: 'known', from: '1970-01-01T00:00:00Z', to: time }],
      ['telemetry.aggregate', { metric: 'cpu', to: time }],
      ['telemetry.sites', { from: time, to: time }],
    ] as const)
      expect([path, (await query(path, input)).status]).toEqual([path, expect.toBeOneOf([200, 400])]);
  },
);

test('an id in capitals is the same id, also for whoever watches it', async () => {
  const { commands } = await app.client('operator');
  const target = { agents: ['known'] };
  const { command } = await commands.submit.mutate({ verb: 'exec', args: { argv: ['true'] }, target });
  const watched = { commandId: command.commandId.toUpperCase() };
  const stream = await fetch(inUrl('commands.watch', watched), { headers: headers() });
  const reader = stream.body?.getReader();
  await reader?.read();
  const before = performance.now();
  await commands.cancel.mutate({ commandId: command.commandId });
  for (let text = ''; !text.includes('"done":true'); )
    text += Buffer.from((await reader?.read())?.value ?? []).toString();
  // Without being told, the rows are looked at every five seconds.
  expect(performance.now() - before).toBeLessThan(3000);
  await reader?.cancel();
});
