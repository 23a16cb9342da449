import { expect, test } from 'vitest';
import { AgentStatus } from '#gen/viworks/control/v1/agent_pb.js';
import { AlertState, Severity } from '#gen/viworks/control/v1/alert_pb.js';
import { SnapshotReason } from '#gen/viworks/control/v1/live_pb.js';
import { firingAlert } from '../support/api-alerts.ts';
import { startApi, type TestApi } from '../support/api-server.ts';
import { errorOf } from '../support/api-surfaces.ts';
import { hear } from '../support/live.ts';

/** Live streams over every surface: what is asked for arrives, and what is told is the same. */

const selector = {
  agents: ['alpha'],
  sites: ['berlin'],
  labels: { rack: 'a1' },
  capabilities: ['exec'],
  os: ['linux'],
};

/** The only event of each stream, as tRPC and gRPC both say it. */
interface Surface {
  telemetry(): Promise<unknown>;
  agents(): Promise<unknown>;
  alerts(): Promise<unknown>;
}

async function trpc(api: TestApi): Promise<Surface> {
  const { live } = await api.trpc('viewer');
  const only = async <T extends object>(subscribe: Parameters<typeof hear<T>>[0]) => {
    const heard = hear<T>(subscribe);
    const event = await heard.until(() => true);
    await heard.ended;
    return { id: heard.ids[0], ...event };
  };
  const statuses = ['online' as const];
  return {
    telemetry: () =>
      only((handlers) =>
        live.telemetry.subscribe(
          { selector: { ...selector, statuses }, full: true, intervalMs: 1500, lastEventId: 'x.1.2' },
          handlers,
        ),
      ),
    agents: async () => {
      const event = await only<{ agents: { agentId: string }[] }>((handlers) =>
        live.agents.subscribe({ selector }, handlers),
      );
      return { ...event, agents: event.agents.map(({ agentId }) => agentId) };
    },
    alerts: async () => {
      const event = await only<{ alerts: { alertId: string }[] }>((handlers) =>
        live.alerts.subscribe({ states: ['firing'], rule: 'disk-high', minSeverity: 'warning' }, handlers),
      );
      return { ...event, alerts: event.alerts.map(({ alertId }) => alertId) };
    },
  };
}

const reasons = { [SnapshotReason.START]: 'start' } as Record<number, string>;

async function grpc(api: TestApi): Promise<Surface> {
  const control = await api.control('grpc', 'viewer');
  const only = async <T>(stream: AsyncIterable<T>): Promise<T> => {
    const events: T[] = [];
    for await (const event of stream) events.push(event);
    const [event] = events;
    if (event === undefined || events.length > 1) throw new Error(`${events.length} events`);
    return event;
  };
  type Frame = {
    resumeToken: string;
    snapshot?: { part: number; parts: number; because: SnapshotReason } | undefined;
    gone: string[];
  };
  const frameOf = ({ resumeToken, snapshot, gone }: Frame) => ({
    id: resumeToken,
    snapshot: snapshot && {
      part: snapshot.part,
      parts: snapshot.parts,
      because: reasons[snapshot.because],
    },
    gone,
  });
  return {
    async telemetry() {
      const event = await only(
        control.watchTelemetry({
          selector: { ...selector, statuses: [AgentStatus.ONLINE] },
          full: true,
          interval: { seconds: 1n, nanos: 500_000_000 },
          resumeToken: 'x.1.2',
        }),
      );
      const samples = event.samples.map(({ $typeName: _, $unknown: __, at, receivedAt, ...rest }) => ({
        ...rest,
        at: at && new Date(Number(at.seconds) * 1000).toISOString(),
        receivedAt: receivedAt && new Date(Number(receivedAt.seconds) * 1000).toISOString(),
        number: Number(rest.number),
      }));
      return { ...frameOf(event), samples, skipped: Number(event.skipped) };
    },
    async agents() {
      const event = await only(control.watchAgents({ selector }));
      return { ...frameOf(event), agents: event.agents.map(({ agentId }) => agentId) };
    },
    async alerts() {
      const request = { states: [AlertState.FIRING], rule: 'disk-high', minSeverity: Severity.WARNING };
      const event = await only(control.watchAlerts(request));
      return { ...frameOf(event), alerts: event.alerts.map(({ alertId }) => alertId) };
    },
  };
}

test.each([
  ['tRPC', trpc],
  ['gRPC', grpc],
])('over %s', async (_name, surfaceOf) => {
  await using api = await startApi();
  const surface = await surfaceOf(api);
  const frame = { id: 'here', snapshot: { part: 1, parts: 1, because: 'start' }, gone: ['beta'] };
  const at = '2030-01-01T00:00:00.000Z';
  expect(await surface.telemetry()).toEqual({
    ...frame,
    samples: [
      {
        agentId: 'alpha',
        at,
        receivedAt: at,
        number: 7,
        late: false,
        skewed: false,
        cpu: 12.5,
        memory: 40,
        disk: 91.5,
        load: 0.5,
        received: 1000,
        sample: { number: '7' },
      },
    ],
    skipped: 3,
  });
  expect(await surface.agents()).toEqual({ ...frame, agents: ['alpha'] });
  expect(await surface.alerts()).toEqual({ ...frame, alerts: [firingAlert.alertId] });
  expect(api.live.asked).toMatchObject([
    {
      caller: 'the viewer',
      request: {
        selector: { ...selector, statuses: ['online'] },
        full: true,
        intervalMs: 1500,
        cursor: 'x.1.2',
      },
    },
    { request: { selector } },
    { request: { states: ['firing'], rule: 'disk-high', minSeverity: 'warning' } },
  ]);
});

test('whoever is limited to sites is limited on streams too', async () => {
  await using api = await startApi();
  const client = api.trpcWith(await api.tokenFor('admin', { sites: ['berlin'] }));
  const asked = { selector: { sites: ['paris'] } };
  await Promise.all([
    hear<object>((handlers) => client.live.telemetry.subscribe(asked, handlers)).ended,
    hear<object>((handlers) => client.live.agents.subscribe(asked, handlers)).ended,
    hear<object>((handlers) => client.live.alerts.subscribe(asked, handlers)).ended,
  ]);
  expect(api.live.asked.map(({ request }) => request)).toEqual(
    Array.from({ length: 3 }, () =>
      expect.objectContaining({ sites: ['berlin'], selector: { sites: ['paris'] } }),
    ),
  );
});

test('what is wrong is named', async () => {
  await using api = await startApi();
  const client = await api.trpc('viewer');
  const wrong = hear<object>((handlers) =>
    client.live.telemetry.subscribe({ selector: { agents: [] }, intervalMs: 60_001 }, handlers),
  );
  await expect(wrong.ended).rejects.toMatchObject({
    data: { code: 'invalid_request', fields: [{ field: 'selector.agents' }, { field: 'intervalMs' }] },
  });
  const control = await api.control('grpc', 'viewer');
  const read = async (stream: AsyncIterable<unknown>) => {
    for await (const _event of stream);
  };
  const interval = { seconds: 61n, nanos: 0 };
  expect(await errorOf(read(control.watchTelemetry({ interval })))).toMatchObject({
    code: 'invalid_request',
    fields: [{ field: 'interval' }],
  });
  expect(await errorOf(read(control.watchAgents({ selector: { sites: ['No'] } })))).toMatchObject({
    code: 'invalid_request',
    fields: [{ field: 'selector.sites[0]' }],
  });
});
