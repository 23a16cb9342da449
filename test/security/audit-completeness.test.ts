import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient as createRpcClient } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import type { AnyTRPCProcedure, AnyTRPCRouter } from '@trpc/server';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { AgentService } from '#gen/viworks/agent/v1/agent_service_pb.js';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { auditedOperations } from '../../src/api/audited.ts';
import { createAppRouter } from '../../src/api/trpc/router.ts';
import { type App, startApp } from '../../src/app.ts';
import { type Client, createClient } from '../../src/cli/client.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { Role } from '../../src/identity/types.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { newTlsKey, writeRequest } from '../../src/protocol/certificates/x509.ts';
import { generateKeyPair, keyIdOf, signBytes } from '../../src/protocol/keys.ts';
import { enrollRequestInput } from '../../src/protocol/signed.ts';
import { createDatabase, type Database, statement } from '../../src/storage/database.ts';
import { auditRows, tamper } from '../support/audit.ts';
import { enrollRequest } from '../support/fake-agent.ts';
import { createTestDatabase } from '../support/postgres.ts';

/** Every operation that changes something leaves an entry, stored with the change; who is refused leaves one too. */

let app: App;
let database: Database;
let ada: Client;
let bea: Client;
let own: Awaited<ReturnType<typeof createTestDatabase>>;
const folder = mkdtempSync(join(tmpdir(), 'viworks-audit-'));
const managers: Http2SessionManager[] = [];

const tokenOf = (subject: string, role: Role) => app.issueToken({ subject, role, lifetimeMs: 600_000 });
const clientOf = async (subject: string, role: Role) =>
  createClient({ url: app.apiUrl, token: await tokenOf(subject, role) });

function transportTo(baseUrl: string) {
  // Who the server is, is not what is looked at here.
  const sessionManager = new Http2SessionManager(baseUrl, undefined, { rejectUnauthorized: false });
  managers.push(sessionManager);
  return createGrpcTransport({ baseUrl, sessionManager });
}

const enrol = async (token: string, agentId: string) =>
  createRpcClient(AgentService, transportTo(app.agentUrl)).enroll(
    enrollRequest(token, agentId, generateKeyPair()),
  );

beforeAll(async () => {
  own = await createTestDatabase();
  const config = configSchema.parse({
    server: { port: 0, data_dir: folder },
    agent_management: { port: 0, built_in_tls: true, enrollment_requests: true },
    database: { url: own.url },
    // So that every command needs a second person.
    command: { approval: 'elevated' },
  });
  app = await startApp(config, { log: silentLogger, drainWindowMs: 0 });
  database = createDatabase({
    url: own.url,
    maxConnections: 4,
    connectTimeoutMs: 10_000,
    idleTimeoutMs: 10_000,
    log: silentLogger,
  });
  ada = await clientOf('ada', 'admin');
  bea = await clientOf('bea', 'admin');
  const { token } = await app.createEnrollmentToken({
    site: 'berlin',
    labels: {},
    uses: 1,
    lifetimeMs: 60_000,
  });
  await enrol(token, 'web-1');
});
afterAll(async () => {
  for (const manager of managers) manager.abort();
  await app.stop();
  await database.close();
  await own.drop();
  rmSync(folder, { recursive: true, force: true });
});

/** An agent that asks to be enrolled. */
async function asked(agentId: string) {
  const key = generateKeyPair();
  const { publicKey } = key;
  const signature = signBytes(key, enrollRequestInput(agentId, publicKey));
  const client = createRpcClient(AgentService, transportTo(app.agentUrl));
  await client.requestEnrollment({ agentId, publicKey, signature });
  const { requests } = await ada.enrollment.listRequests.query();
  const requestId = requests.find((request) => request.agentId === agentId)?.requestId ?? '';
  return { requestId, fingerprint: keyIdOf(publicKey) };
}

const exec = { verb: 'exec' as const, args: { argv: ['true'] } };
const target = { agents: ['web-1'] };
const submitted = async (rollout = false) => {
  const { command } = await ada.commands.submit.mutate({ ...exec, target, ...(rollout && { rollout: {} }) });
  return command.commandId;
};
const template = { name: 'tidy', parameters: [], command: { ...exec, target } };
const timing = { cron: '0 3 * * *' };
const named = (id: string) => id;
const newestTrust = 'tls_trust_documents where version = (select max(version) from tls_trust_documents)';

interface Case {
  /** Answers with the id of what it was about. */
  call(): Promise<string | undefined>;
  /** What stands in the row that it changed, and where. */
  changed?: (id: string) => string;
}

/** A call of each operation. They run in this order. */
const cases: Record<string, Case> = {
  'agents.setStatus': {
    call: async () => {
      await ada.agents.setStatus.mutate({ agentId: 'web-1', maintenance: false, reason: 'why not' });
      return 'web-1';
    },
    changed: (id) => `agents where agent_id = '${id}'`,
  },
  'commands.submit': { call: () => submitted(), changed: (id) => `commands where command_id = '${id}'` },
  'commands.approve': {
    call: async () => {
      const commandId = await submitted();
      await bea.commands.approve.mutate({ commandId, reason: 'fine' });
      return commandId;
    },
    changed: (id) => `approvals where command_id = '${id}'`,
  },
  'commands.reject': {
    call: async () => {
      const commandId = await submitted();
      await bea.commands.reject.mutate({ commandId, reason: 'no' });
      return commandId;
    },
    changed: (id) => `approvals where command_id = '${id}'`,
  },
  'commands.cancel': {
    call: async () => {
      const commandId = await submitted();
      await ada.commands.cancel.mutate({ commandId, reason: 'no need' });
      return commandId;
    },
    changed: (id) => `executions where command_id = '${id}'`,
  },
  'commands.retry': {
    call: async () => {
      const commandId = await submitted();
      await ada.commands.cancel.mutate({ commandId, reason: 'no need' });
      const { command } = await ada.commands.retry.mutate({ commandId });
      return command.commandId;
    },
    changed: (id) => `commands where command_id = '${id}'`,
  },
  'rollouts.pause': {
    call: async () => {
      const commandId = await submitted(true);
      await ada.rollouts.pause.mutate({ commandId, reason: 'wait' });
      return commandId;
    },
    changed: (id) => `rollouts where command_id = '${id}'`,
  },
  'rollouts.resume': {
    call: async () => {
      const commandId = await submitted(true);
      await ada.rollouts.pause.mutate({ commandId, reason: 'wait' });
      await ada.rollouts.resume.mutate({ commandId });
      return commandId;
    },
  },
  'rollouts.abort': {
    call: async () => {
      const commandId = await submitted(true);
      await ada.rollouts.abort.mutate({ commandId, reason: 'no' });
      return commandId;
    },
    changed: (id) => `rollouts where command_id = '${id}'`,
  },
  'templates.save': {
    call: async () => named((await ada.templates.save.mutate(template)).template.name),
    changed: (id) => `templates where name = '${id}'`,
  },
  'templates.run': {
    call: async () => (await ada.templates.run.mutate({ name: 'tidy', params: {} })).command.commandId,
    changed: (id) => `commands where command_id = '${id}'`,
  },
  'templates.delete': {
    call: async () => {
      await ada.templates.delete.mutate({ name: 'tidy', revision: 1 });
      return 'tidy';
    },
  },
  'schedules.create': {
    call: async () => {
      const action = { command: { ...exec, target } };
      return (await ada.schedules.create.mutate({ name: 'nightly', timing, action })).schedule.name;
    },
    changed: (id) => `schedules where name = '${id}'`,
  },
  'schedules.update': {
    call: async () => {
      await ada.schedules.update.mutate({ name: 'nightly', revision: 1, description: 'what for' });
      return 'nightly';
    },
    changed: (id) => `schedules where name = '${id}'`,
  },
  'schedules.pause': {
    call: async () => (await ada.schedules.pause.mutate({ name: 'nightly' })).schedule.name,
    changed: (id) => `schedules where name = '${id}'`,
  },
  'schedules.resume': {
    call: async () => (await ada.schedules.resume.mutate({ name: 'nightly' })).schedule.name,
    changed: (id) => `schedules where name = '${id}'`,
  },
  'schedules.run': {
    call: async () => (await ada.schedules.run.mutate({ name: 'nightly' })).command.commandId,
    changed: (id) => `commands where command_id = '${id}'`,
  },
  'schedules.delete': {
    call: async () => {
      await ada.schedules.delete.mutate({ name: 'nightly' });
      return 'nightly';
    },
  },
  'alerts.saveRule': {
    call: async () => {
      const rule = { name: 'hot', severity: 'critical' as const, metric: 'metrics.celsius', threshold: 90 };
      return (await ada.alerts.saveRule.mutate(rule)).rule.name;
    },
    changed: (id) => `alert_rules where name = '${id}'`,
  },
  'alerts.deleteRule': {
    call: async () => {
      await ada.alerts.deleteRule.mutate({ name: 'hot' });
      return 'hot';
    },
  },
  'alerts.silence': {
    call: async () => {
      const of = { site: 'berlin' };
      return (await ada.alerts.silence.mutate({ of, lifetimeMs: 60_000 })).silence.silenceId;
    },
    changed: (id) => `alert_silences where silence_id = '${id}'`,
  },
  'alerts.endSilence': {
    call: async () => {
      const { silences } = await ada.alerts.listSilences.query();
      const silenceId = silences[0]?.silenceId ?? '';
      await ada.alerts.endSilence.mutate({ silenceId });
      return silenceId;
    },
    changed: (id) => `alert_silences where silence_id = '${id}'`,
  },
  'alerts.acknowledge': {
    call: async () => {
      const alertId = '01990000-0000-7000-8000-000000000001';
      await tamper(
        database,
        `insert into alerts (alert_id, rule, agent_id, subject, site, severity, metric, comparison, threshold, state,
           seen_at, pending_since, fired_at, told, updated_at)
         values ('${alertId}', 'cpu-high', 'web-1', '', 'berlin', 'warning', 'cpu.percent', 'above', 80, 'firing',
           now(), now(), now(), true, now())`,
      );
      // What another rule does has all of them read again.
      await ada.alerts.silence.mutate({ of: { site: 'nowhere' }, lifetimeMs: 60_000 });
      await ada.alerts.acknowledge.mutate({ alertId, note: 'mine' });
      return alertId;
    },
    changed: (id) => `alerts where alert_id = '${id}'`,
  },
  'alerts.addWebhook': {
    call: async () => {
      const { webhook } = await ada.alerts.addWebhook.mutate({ name: 'chat', url: 'http://127.0.0.1:9/' });
      return webhook.name;
    },
    changed: (id) => `alert_webhooks where name = '${id}'`,
  },
  'alerts.testWebhook': {
    call: async () => {
      await ada.alerts.testWebhook.mutate({ name: 'chat' });
      return 'chat';
    },
  },
  'alerts.retryDeadLetters': {
    call: async () => {
      await ada.alerts.retryDeadLetters.mutate({ webhook: 'chat' });
      return 'chat';
    },
  },
  'alerts.removeWebhook': {
    call: async () => {
      await ada.alerts.removeWebhook.mutate({ name: 'chat' });
      return 'chat';
    },
  },
  'enrollment.createToken': {
    call: async () => {
      return (await ada.enrollment.createToken.mutate({ site: 'oslo' })).tokenId;
    },
    changed: () => `enrollment_tokens where site = 'oslo'`,
  },
  'enrollment.revokeToken': {
    call: async () => {
      const { tokens } = await ada.enrollment.listTokens.query({ all: true });
      const tokenId = tokens.find(({ site }) => site === 'oslo')?.tokenId ?? '';
      await ada.enrollment.revokeToken.mutate({ tokenId });
      return tokenId;
    },
    changed: (id) => `enrollment_tokens where token_id = '${id}'`,
  },
  'enrollment.approve': {
    call: async () => {
      const { requestId, fingerprint } = await asked('asks-1');
      await ada.enrollment.approve.mutate({ requestId, fingerprint, site: 'berlin' });
      return requestId;
    },
    changed: () => `agents where agent_id = 'asks-1'`,
  },
  'enrollment.reject': {
    call: async () => {
      const { requestId } = await asked('asks-2');
      await ada.enrollment.reject.mutate({ requestId });
      return requestId;
    },
    changed: (id) => `enrollment_requests where request_id = '${id}'`,
  },
  'agents.rotateKey': {
    call: async () => {
      await ada.agents.rotateKey.mutate({ agentId: 'asks-1' });
      return 'asks-1';
    },
  },
  'agents.revoke': {
    call: async () => {
      await ada.agents.revoke.mutate({ agentId: 'asks-1', reason: 'lost' });
      return 'asks-1';
    },
    changed: (id) => `agents where agent_id = '${id}'`,
  },
  'agents.release': {
    call: async () => {
      const held = { at: new Date(), reason: 'a copy', maintenance: false, statusReason: null };
      await tamper(database, `update agents set held = '${JSON.stringify(held)}' where agent_id = 'web-1'`);
      await ada.agents.release.mutate({ agentId: 'web-1' });
      return 'web-1';
    },
  },
  'agents.remove': {
    call: async () => {
      await ada.agents.remove.mutate({ agentId: 'asks-1' });
      return 'asks-1';
    },
  },
  'keys.rotate': {
    call: async () => {
      await ada.keys.rotate.mutate();
      return undefined;
    },
  },
  'keys.revoke': {
    call: async () => {
      const { keys } = await ada.keys.list.query();
      const keyId = keys.find(({ state }) => state === 'retired')?.keyId ?? '';
      await ada.keys.revoke.mutate({ keyId });
      return keyId;
    },
  },
  'certs.issue': {
    call: async () => {
      const request = Buffer.from(writeRequest(newTlsKey())).toString('base64');
      const { certificate } = await ada.certs.issue.mutate({ request, names: ['control.example'] });
      return certificate.serial;
    },
    changed: (id) => `certificates where serial = '${id}'`,
  },
  'certs.revoke': {
    call: async () => {
      const { certificates } = await ada.certs.list.query();
      const serial = certificates[0]?.serial ?? '';
      await ada.certs.revoke.mutate({ serial, reason: 'copied' });
      return serial;
    },
    changed: (id) => `certificates where serial = '${id}'`,
  },
  'certs.prepareAuthority': {
    call: async () => {
      await ada.certs.prepareAuthority.mutate();
      return undefined;
    },
    changed: () => newestTrust,
  },
  'certs.activateAuthority': {
    call: async () => {
      await ada.certs.activateAuthority.mutate();
      return undefined;
    },
    changed: () => newestTrust,
  },
  'certs.retireAuthority': {
    call: async () => {
      await ada.certs.retireAuthority.mutate({ force: true });
      return undefined;
    },
    changed: () => newestTrust,
  },
  'certs.rotatePins': {
    call: async () => {
      await ada.certs.rotatePins.mutate({ force: true });
      return undefined;
    },
    changed: () => newestTrust,
  },
  'certs.dropAuthority': {
    call: async () => {
      await ada.certs.prepareAuthority.mutate();
      await ada.certs.dropAuthority.mutate();
      return undefined;
    },
    changed: () => newestTrust,
  },
  'tokens.createEnrollment': {
    call: async () => {
      await ada.tokens.createEnrollment.mutate({ site: 'paris' });
      const { tokens } = await ada.enrollment.listTokens.query({});
      return tokens.find(({ site }) => site === 'paris')?.tokenId;
    },
    changed: () => `enrollment_tokens where site = 'paris'`,
  },
  'tokens.createApi': {
    call: async () => {
      const { token } = await ada.tokens.createApi.mutate({ subject: 'shop', role: 'viewer' });
      return decodeJwt(token).jti;
    },
  },
  'tokens.create': {
    call: async () => {
      return (await ada.tokens.create.mutate({ name: 'till', role: 'viewer' })).details.tokenId;
    },
    changed: () => `service_tokens where name = 'till'`,
  },
  'tokens.revoke': {
    call: async () => {
      const { tokens } = await ada.tokens.list.query();
      const tokenId = tokens.find(({ name }) => name === 'till')?.tokenId ?? '';
      await ada.tokens.revoke.mutate({ tokenId });
      return tokenId;
    },
    changed: (id) => `service_tokens where token_id = '${id}'`,
  },
  'issuer.rotateKey': {
    call: async () => {
      await ada.issuer.rotateKey.mutate();
      return undefined;
    },
    changed: () => 'issuer_keys where number = (select max(number) from issuer_keys)',
  },
  'issuer.revokeKey': {
    call: async () => {
      const { keys } = await ada.issuer.rotateKey.mutate();
      const keyId = keys.find(({ state }) => state === 'active')?.keyId ?? '';
      await ada.issuer.revokeKey.mutate({ keyId });
      return keyId;
    },
    changed: (id) => `issuer_keys where key_id = '${id}'`,
  },
};

test('every operation that changes something is audited, and is called here', () => {
  const router: AnyTRPCRouter = createAppRouter({} as Parameters<typeof createAppRouter>[0]);
  const all: Record<string, AnyTRPCProcedure> = router._def.procedures;
  const mutations = Object.keys(all).filter((path) => all[path]?._def.type === 'mutation');
  expect([...auditedOperations.keys()].sort()).toEqual(mutations.sort());
  expect(Object.keys(cases).sort()).toEqual(mutations);
});

test.for(Object.entries(cases))('%s', async ([operation, { call, changed }]) => {
  await tamper(database, 'delete from audit_entries');
  const id = await call();
  const entries = await auditRows(database, `action = '${operation}'`);
  expect(entries).toHaveLength(1);
  const [entry] = entries;
  const [kind] = auditedOperations.get(operation) ?? [];
  expect(entry).toMatchObject({
    outcome: 'done',
    actor: operation === 'commands.approve' || operation === 'commands.reject' ? 'bea' : 'ada',
    role: 'admin',
    address: expect.stringMatching(/127\.0\.0\.1$/),
    user_agent: 'node',
    request_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    // What ran a command is told by the command.
    resource_kind: /^\w+\.run$/.test(operation) ? 'command' : kind,
    resource_id: id ?? null,
    code: null,
    count: 1,
  });
  if (changed === undefined) return;
  const rows = await database.query<{ writtenBy: string }>(
    statement('', `select xmin::text as "writtenBy" from ${changed(id ?? '')}`),
    [],
  );
  expect(rows.map(({ writtenBy }) => writtenBy)).toEqual(rows.map(() => entry?.written_by));
  expect(rows.length).toBeGreaterThan(0);
});

describe('what else is told', () => {
  beforeEach(() => tamper(database, 'delete from audit_entries'));

  test('an enrolment, by the transaction that registers the agent', async () => {
    const { token } = await ada.tokens.createEnrollment.mutate({ site: 'rome' });
    await enrol(token, 'web-2');
    const [entry] = await auditRows(database, `action = 'agents.enroll'`);
    expect(entry).toMatchObject({ actor: 'agent:web-2', resource_id: 'web-2', outcome: 'done' });
    expect(entry?.address).toMatch(/127\.0\.0\.1$/);
    const [agent] = await database.query<{ writtenBy: string }>(
      statement('', `select xmin::text as "writtenBy" from agents where agent_id = 'web-2'`),
      [],
    );
    expect(agent?.writtenBy).toBe(entry?.written_by);
    await expect(enrol(token, 'web-3')).rejects.toThrow();
    await expect.poll(() => auditRows(database, `code = 'enrollment_refused'`)).toHaveLength(1);
  });

  test('args without their secrets', async () => {
    const password = 'correct horse battery staple';
    const argv = ['mysql', '--password', password, `--token=${password}`];
    await ada.commands.submit.mutate({ verb: 'exec', args: { argv }, target });
    const [entry] = await auditRows(database, `action = 'commands.submit'`);
    expect(entry?.details).toContain('mysql');
    expect(entry?.details).not.toContain(password);
    expect(entry?.details).not.toContain('argsSha256');
  });

  test('a call over gRPC, with the ids that its caller gave it', async () => {
    const client = createRpcClient(ControlService, transportTo(app.apiUrl));
    const headers = {
      authorization: `Bearer ${await tokenOf('carl', 'operator')}`,
      'x-request-id': 'request-7',
      'x-correlation-id': 'order-9',
    };
    const spec = {
      verb: 'exec',
      args: { argv: ['true'] },
      target: { target: { case: 'agents' as const, value: { agentIds: ['web-1'] } } },
    };
    await client.submitCommand({ spec }, { headers });
    expect(await auditRows(database, `action = 'commands.submit'`)).toMatchObject([
      { actor: 'carl', role: 'operator', request_id: 'request-7', correlation_id: 'order-9' },
    ]);
    expect((await auditRows(database, `action = 'commands.submit'`))[0]?.address).toMatch(/127\.0\.0\.1$/);
  });

  test('what is refused, by its code', async () => {
    const commandId = '0197f0c2-7a1b-7c00-8000-000000000000';
    await expect(ada.commands.cancel.mutate({ commandId, reason: '' })).rejects.toThrow();
    const viewer = await clientOf('vic', 'viewer');
    await expect(viewer.commands.cancel.mutate({ commandId, reason: '' })).rejects.toThrow();
    const stranger = createClient({ url: app.apiUrl, token: 'x.y.z' });
    await expect(stranger.agents.list.query({})).rejects.toThrow();
    await expect
      .poll(async () =>
        (await auditRows(database, `outcome = 'refused'`)).map(({ actor, action, code }) => [
          actor,
          action,
          code,
        ]),
      )
      .toEqual(
        expect.arrayContaining([
          ['ada', 'commands.cancel', 'command_unknown'],
          ['vic', 'commands.cancel', 'permission_denied'],
          ['unknown', 'agents.list', 'unauthenticated'],
        ]),
      );
  });

  test('who came in, once', async () => {
    const dora = await clientOf('dora', 'viewer');
    for (let call = 0; call < 3; call++) await dora.agents.list.query({});
    await expect.poll(() => auditRows(database, `action = 'api.login' and actor = 'dora'`)).toHaveLength(1);
  });

  test('a repeated call that changes nothing, as one that was made', async () => {
    const input = { ...exec, target, idempotencyKey: 'again' };
    await ada.commands.submit.mutate(input);
    const { command } = await ada.commands.submit.mutate(input);
    const entries = await auditRows(database, `action = 'commands.submit'`);
    expect(entries).toMatchObject([{ resource_id: command.commandId }, { resource_id: command.commandId }]);
    expect(entries[1]?.details).toContain('repeated');
  });

  test('what it did itself verifies, lists and can be taken away', async () => {
    await tamper(database, 'truncate audit_entries, audit_blocks, audit_checkpoints restart identity');
    await ada.commands.submit.mutate({ ...exec, target });
    const { entries } = await ada.audit.list.query({ filter: { action: 'commands', actor: 'ada' } });
    expect(entries).toMatchObject([{ action: 'commands.submit', details: { verb: 'exec' } }]);
    expect((await ada.audit.list.query({ filter: { until: '2020-01-01T00:00:00Z' } })).entries).toEqual([]);
    await expect.poll(async () => (await ada.audit.head.query()).pending).toBe(0);
    const { lines } = await ada.audit.export.query({});
    expect(lines.map((line) => JSON.parse(line).type)).toContain('block');
  });
});
