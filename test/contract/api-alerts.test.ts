import { durationFromMs, durationMs, timestampDate } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { AlertState, Comparison, Severity } from '#gen/viworks/control/v1/alert_pb.js';
import { firingAlert } from '../support/api-alerts.ts';
import { startApi, type TestApi } from '../support/api-server.ts';
import { errorOf } from '../support/api-surfaces.ts';

/** Alerts over every surface: what is asked for arrives, and what is answered is the same. */

const { alertId } = firingAlert;

interface Surface {
  list(filter: { state?: 'firing' | 'resolved'; severity?: 'critical' }): Promise<unknown[]>;
  acknowledge(note: string): Promise<unknown>;
  /** Of the alert, or of a site. */
  silence(of: 'alert' | 'site' | 'nothing', lifetimeMs: number): Promise<Record<string, unknown>>;
  endSilence(silenceId: string): Promise<unknown>;
  save(threshold: number, clearThreshold: number, revision?: number): Promise<unknown>;
  rules(): Promise<string[]>;
  deleteRule(name: string): Promise<unknown>;
  add(secret?: string): Promise<unknown>;
  webhooks(): Promise<unknown[]>;
  test(name: string): Promise<unknown>;
  deadLetters(): Promise<string[]>;
  retry(of: 'one' | 'all'): Promise<number>;
}

async function trpc(api: TestApi): Promise<Surface> {
  const { alerts } = await api.trpc('admin');
  const filter = { minSeverity: 'warning' as const, sites: ['berlin'] };
  const shown = ({
    state,
    value,
    firedAt,
    subject,
  }: {
    state: string;
    value?: number | undefined;
    firedAt?: string | undefined;
    subject: string;
  }) => ({
    state,
    value,
    firedAt,
    subject,
  });
  return {
    list: async ({ state, severity }) => {
      const states = state && [state];
      const found = await alerts.list.query({ states, minSeverity: severity, agentId: 'alpha' });
      return found.alerts.map(shown);
    },
    acknowledge: async (note) => {
      const { alert } = await alerts.acknowledge.mutate({ alertId, note });
      return { state: alert.state, by: alert.acknowledgedBy, note: alert.note };
    },
    async silence(of, lifetimeMs) {
      const named = {
        alert: { alertId },
        site: { site: 'berlin', subject: '' },
        nothing: undefined as never,
      }[of];
      const { silence } = await alerts.silence.mutate({ of: named, lifetimeMs, reason: 'why' });
      const { silenceId, rule, site, subject, endsAt } = silence;
      return { silenceId, rule, site, subject, endsAt };
    },
    endSilence: async (silenceId) => (await alerts.endSilence.mutate({ silenceId })).silence.endedBy,
    save: async (threshold, clearThreshold, revision) => {
      const selector = { sites: ['berlin'], labels: { rack: 'a1' } };
      const { rule } = await alerts.saveRule.mutate({
        name: 'disk-of-berlin',
        severity: 'critical',
        metric: 'disk.percent',
        threshold,
        clearThreshold,
        forMs: 1500,
        selector,
        revision,
      });
      const { comparison, forMs, clearForMs, enabled } = rule;
      return { comparison, forMs, clearForMs, enabled, selector: rule.selector, revision: rule.revision };
    },
    rules: async () => (await alerts.listRules.query()).rules.map(({ name }) => name),
    deleteRule: (name) => alerts.deleteRule.mutate({ name }),
    async add(secret) {
      const url = 'https://chat.example/hook';
      const added = await alerts.addWebhook.mutate({ name: 'chat', url, filter, secret });
      return { secret: added.secret, filter: added.webhook.filter };
    },
    webhooks: async () =>
      (await alerts.listWebhooks.query()).webhooks.map(({ url, waiting, dead }) => ({ url, waiting, dead })),
    test: (name) => alerts.testWebhook.mutate({ name }),
    deadLetters: async () =>
      (await alerts.listDeadLetters.query({ webhook: 'chat' })).deadLetters.map(({ lastError }) => lastError),
    retry: async (of) =>
      (await alerts.retryDeadLetters.mutate(of === 'one' ? { deliveryId: alertId } : { webhook: 'chat' }))
        .count,
  };
}

async function grpc(api: TestApi): Promise<Surface> {
  const control = await api.control('grpc', 'admin');
  const state = { firing: AlertState.FIRING, resolved: AlertState.RESOLVED };
  const nameOf = { [AlertState.FIRING]: 'firing', [AlertState.ACKNOWLEDGED]: 'acknowledged' } as Record<
    number,
    string
  >;
  return {
    async list({ state: wanted, severity }) {
      const filter = {
        states: wanted === undefined ? [] : [state[wanted]],
        agentId: 'alpha',
        ...(severity && { minSeverity: Severity.CRITICAL }),
      };
      const found = await control.listAlerts({ filter });
      return found.alerts.map((alert) => ({
        state: nameOf[alert.state],
        value: alert.value,
        firedAt: alert.firedAt && timestampDate(alert.firedAt).toISOString(),
        subject: alert.subject,
      }));
    },
    async acknowledge(note) {
      const { alert } = await control.acknowledgeAlert({ alertId, note });
      return { state: nameOf[alert?.state ?? 0], by: alert?.acknowledgedBy, note: alert?.note };
    },
    async silence(of, lifetimeMs) {
      const named = {
        alert: { case: 'alertId' as const, value: alertId },
        site: { case: 'match' as const, value: { site: 'berlin', subject: '' } },
        nothing: { case: undefined },
      }[of];
      const lifetime = durationFromMs(lifetimeMs);
      const { silence } = await control.silenceAlerts({ of: named, lifetime, reason: 'why' });
      const { rule, site, subject } = silence?.match ?? {};
      return {
        silenceId: silence?.silenceId,
        rule: rule || undefined,
        site: site || undefined,
        subject,
        endsAt: silence?.endsAt && timestampDate(silence.endsAt).toISOString(),
      };
    },
    endSilence: async (silenceId) => (await control.endSilence({ silenceId })).silence?.endedBy,
    async save(threshold, clearThreshold, revision = 0) {
      const { rule } = await control.saveAlertRule({
        spec: {
          name: 'disk-of-berlin',
          severity: Severity.CRITICAL,
          metric: 'disk.percent',
          threshold,
          clearThreshold,
          for: durationFromMs(1500),
          selector: { sites: ['berlin'], labels: { rack: 'a1' } },
        },
        revision,
      });
      const spec = rule?.spec;
      expect(spec?.comparison).toBe(Comparison.ABOVE);
      return {
        comparison: 'above',
        forMs: spec?.for && durationMs(spec.for),
        clearForMs: spec?.clearFor && durationMs(spec.clearFor),
        enabled: spec?.enabled,
        selector: { sites: spec?.selector?.sites, labels: spec?.selector?.labels },
        revision: rule?.revision,
      };
    },
    rules: async () => (await control.listAlertRules({})).rules.map(({ spec }) => spec?.name ?? ''),
    deleteRule: (name) => control.deleteAlertRule({ name }),
    async add(secret = '') {
      const filter = { minSeverity: Severity.WARNING, sites: ['berlin'] };
      const added = await control.addWebhook({
        name: 'chat',
        url: 'https://chat.example/hook',
        filter,
        secret,
      });
      const told = added.webhook?.filter;
      expect(told?.minSeverity).toBe(Severity.WARNING);
      return { secret: added.secret, filter: { minSeverity: 'warning', sites: told?.sites } };
    },
    webhooks: async () =>
      (await control.listWebhooks({})).webhooks.map(({ url, waiting, dead }) => ({ url, waiting, dead })),
    async test(name) {
      const { delivered, status, error, milliseconds } = await control.testWebhook({ name });
      return { delivered, status, error, milliseconds };
    },
    deadLetters: async () =>
      (await control.listDeadLetters({ webhook: 'chat' })).deadLetters.map(({ lastError }) => lastError),
    async retry(of) {
      const named =
        of === 'one'
          ? { case: 'deliveryId' as const, value: alertId }
          : { case: 'webhook' as const, value: 'chat' };
      return (await control.retryDeadLetters({ of: named })).count;
    },
  };
}

describe.each([
  ['tRPC', trpc],
  ['gRPC', grpc],
])('over %s', (_name, surfaceOf) => {
  test('alerts are listed by what the filter says, and acknowledged', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    const firing = { state: 'firing', value: 91.5, firedAt: '2030-01-01T00:00:00.000Z', subject: '/data' };
    expect(await surface.list({})).toEqual([firing]);
    expect(await surface.list({ state: 'resolved' })).toEqual([]);
    expect(await surface.list({ severity: 'critical' })).toEqual([]);
    expect(await surface.acknowledge('mine')).toEqual({
      state: 'acknowledged',
      by: 'the admin',
      note: 'mine',
    });
  });

  test('an alert is silenced, or whatever else is named, until somebody ends it', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    const one = await surface.silence('alert', 60_000);
    expect(one).toMatchObject({ rule: 'disk-high', subject: '/data', endsAt: '2030-01-01T00:01:00.000Z' });
    expect(await surface.silence('site', 1000)).toMatchObject({
      rule: undefined,
      site: 'berlin',
      subject: '',
    });
    expect(await surface.endSilence(String(one.silenceId))).toBe('the admin');
    expect((await errorOf(surface.silence('nothing', 60_000))).code).toBe('invalid_request');
    expect((await errorOf(surface.silence('site', 1))).message).toMatch(/^lifetime/);
  });

  test('rules are saved with all that is said of them, and refused with the name of what is wrong', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    expect(await surface.save(90, 85)).toEqual({
      comparison: 'above',
      forMs: 1500,
      clearForMs: 0,
      enabled: true,
      selector: { sites: ['berlin'], labels: { rack: 'a1' } },
      revision: 1,
    });
    expect((await errorOf(surface.save(90, 95, 1))).message).toMatch(/clear_?threshold: must be at most/i);
    expect(await surface.rules()).toEqual(['disk-of-berlin']);
    await surface.deleteRule('disk-of-berlin');
    expect((await errorOf(surface.deleteRule('disk-of-berlin'))).code).toBe('alert_rule_unknown');
  });

  test('webhooks are added, tried and listed with what waits for them', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    const filter = { minSeverity: 'warning', sites: ['berlin'] };
    expect(await surface.add()).toEqual({ secret: 'whsec_made', filter });
    expect(await surface.add('whsec_mine')).toEqual({ secret: 'whsec_mine', filter });
    expect(await surface.webhooks()).toEqual([{ url: 'https://chat.example/hook', waiting: 2, dead: 1 }]);
    expect(await surface.test('chat')).toEqual({
      delivered: false,
      status: 500,
      error: 'it answered 500',
      milliseconds: 7,
    });
    expect(await surface.deadLetters()).toEqual(['it answered 500']);
    expect([await surface.retry('one'), await surface.retry('all')]).toEqual([1, 3]);
  });
});

test.each([
  ['rule', { rule: 'Disk High' }, 'filter.rule'],
  ['agentId', { agentId: '-alpha' }, 'filter.agent_id'],
  ['site', { site: 'Berlin' }, 'filter.site'],
] as const)(
  'a filter with a %s that cannot be is refused alike over every surface',
  async (field, filter, name) => {
    await using api = await startApi();
    const { alerts } = await api.trpc('admin');
    const control = await api.control('grpc', 'admin');
    const [one, other] = [
      await errorOf(alerts.list.query(filter)),
      await errorOf(control.listAlerts({ filter })),
    ];
    expect([one.code, other.code]).toEqual(['invalid_request', 'invalid_request']);
    expect(one.message).toMatch(new RegExp(`^${field}: must be 1 to 63 characters`));
    expect(other.message).toBe(one.message.replace(field, name));
  },
);

test('dead letters of a webhook that cannot be are refused alike over every surface', async () => {
  await using api = await startApi();
  const { alerts } = await api.trpc('admin');
  const control = await api.control('grpc', 'admin');
  const [one, other] = [
    await errorOf(alerts.listDeadLetters.query({ webhook: 'No Name' })),
    await errorOf(control.listDeadLetters({ webhook: 'No Name' })),
  ];
  expect(one.message).toMatch(/^webhook: must be 1 to 63/);
  expect([other.code, other.message]).toEqual([one.code, one.message]);
});

test('rules wait for 24 days at most, over every surface', async () => {
  await using api = await startApi();
  const { alerts } = await api.trpc('admin');
  const control = await api.control('grpc', 'admin');
  const days = 86_400_000;
  const save = (name: string, forMs: number) =>
    alerts.saveRule.mutate({ name, severity: 'info', metric: 'cpu.percent', threshold: 1, forMs });
  expect((await save('long', 24 * days)).rule.forMs).toBe(24 * days);
  const problem = 'must be whole milliseconds from 0 to 24 days';
  expect((await errorOf(save('longer', 24 * days + 1))).message).toBe(`forMs: ${problem}`);
  const spec = {
    name: 'longer',
    severity: Severity.INFO,
    metric: 'cpu.percent',
    threshold: 1,
    clearFor: durationFromMs(24 * days + 1),
  };
  expect((await errorOf(control.saveAlertRule({ spec }))).message).toBe(`spec.clear_for: ${problem}`);
});

test('whoever is limited to other sites sees nothing of an alert', async () => {
  await using api = await startApi();
  const { createTRPCClient, httpLink } = await import('@trpc/client');
  const headers = { authorization: `Bearer ${await api.tokenFor('operator', { sites: ['paris'] })}` };
  type Router = import('../../src/api/client.ts').AppRouter;
  const client = createTRPCClient<Router>({ links: [httpLink({ url: `${api.url1}/trpc`, headers })] });
  expect((await client.alerts.list.query()).alerts).toEqual([]);
  expect((await errorOf(client.alerts.get.query({ alertId }))).code).toBe('alert_unknown');
  expect((await errorOf(client.alerts.acknowledge.mutate({ alertId }))).code).toBe('alert_unknown');
});
