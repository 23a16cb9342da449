import { once } from 'node:events';
import net from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { SnapshotReason } from '#gen/viworks/control/v1/live_pb.js';
import { createEventParser } from '../../src/api/event-stream.ts';
import { statement } from '../../src/storage/database.ts';
import { alertsOn, becomes, cpu } from '../support/alerts.ts';
import { startApi } from '../support/api-server.ts';
import { errorOf } from '../support/api-surfaces.ts';
import { hear, hearSamples, liveOn, liveRig, type SampleEvent } from '../support/live.ts';
import { boot, frame, sampleAt } from '../support/telemetry.ts';

/** Live streams over the real API, from what is committed to what a subscriber hears. */

const told = (events: readonly SampleEvent[]) =>
  events.map(({ snapshot, samples, skipped }) => ({
    snapshot: snapshot?.because,
    samples: samples.map(({ agentId, number }) => `${agentId} ${number}`),
    skipped,
  }));

test('after a broken connection a stream of telemetry tells exactly what was missed', async () => {
  const { api, agents, measure } = await liveRig();
  await agents('berlin', 'alpha', 'beta', 'gamma');
  await measure('alpha', 10);
  const heard = await hearSamples(api);
  await heard.until(({ snapshot }) => snapshot?.part === 1);
  await measure('beta', 20);
  await heard.until(({ samples }) => samples.some(({ agentId }) => agentId === 'beta'));
  const letIn = api.breakAndRefuse();
  await measure('alpha', 30);
  await measure('alpha', 40);
  await measure('gamma', 50);
  letIn();
  await heard.until(({ samples }) => samples.some(({ agentId }) => agentId === 'gamma'));
  expect(told(heard.events)).toEqual([
    { snapshot: 'start', samples: ['alpha 1'], skipped: 0 },
    { snapshot: undefined, samples: ['beta 1'], skipped: 0 },
    { snapshot: undefined, samples: ['alpha 3', 'gamma 1'], skipped: 1 },
  ]);
});

test('a stream that goes on at another process begins with how things are, and says why', async () => {
  const { api, core, alerts, agents, measure } = await liveRig();
  await agents('berlin', 'alpha');
  await measure('alpha', 10);
  const heard = await hearSamples(api);
  await heard.until(({ snapshot }) => snapshot?.part === 1);
  heard.close();
  const other = await startApi({ live: liveOn(core, alerts, {}) });
  onTestFinished(() => other[Symbol.asyncDispose]());
  const again = await hearSamples(other, { lastEventId: heard.ids[0] });
  const first = await again.until(() => true);
  expect(first).toMatchObject({
    snapshot: { because: 'resume' },
    samples: [{ agentId: 'alpha', number: 1 }],
  });
});

test('agents whose facts change come and go, and what is beyond a token is not there', async () => {
  const { api, core, agents, measure } = await liveRig();
  await agents('berlin', 'alpha');
  await agents('paris', 'beta');
  for (const agentId of ['alpha', 'beta']) await measure(agentId, 10);
  const limited = api.trpcWith(await api.tokenFor('operator', { sites: ['berlin'] }));
  const samples = hear<SampleEvent>((handlers) =>
    limited.live.telemetry.subscribe({ intervalMs: 0, selector: { agents: ['alpha', 'beta'] } }, handlers),
  );
  interface Agents {
    agents: { agentId: string; site: string }[];
    gone: string[];
  }
  const seen = hear<Agents>((handlers) => limited.live.agents.subscribe(undefined, handlers));
  expect((await samples.until(() => true)).samples).toMatchObject([{ agentId: 'alpha' }]);
  expect((await seen.until(() => true)).agents).toMatchObject([{ agentId: 'alpha', site: 'berlin' }]);
  const move = statement('test_move', 'update agents set site = $2 where agent_id = $1');
  await core.database.query(move, ['alpha', 'rome']);
  core.bus.publish('agent.changed', 'alpha');
  await samples.until(({ gone }) => gone.includes('alpha'));
  await seen.until(({ gone }) => gone.includes('alpha'));
  await core.database.query(move, ['beta', 'berlin']);
  core.bus.publish('agent.changed', 'beta');
  await samples.until((event) => event.samples.some(({ agentId }) => agentId === 'beta'));
  await seen.until((event) => event.agents.some(({ agentId }) => agentId === 'beta'));
  // Nothing of what lies beyond was ever said.
  await measure('alpha', 20);
  await measure('beta', 30);
  await samples.until((event) => event.samples.some(({ number }) => number === 2));
  expect(JSON.stringify([seen.events, samples.events])).not.toMatch(/paris|rome/);
  expect(samples.events.flatMap((event) => event.samples.map(({ agentId }) => agentId))).toEqual([
    'alpha',
    'beta',
    'beta',
  ]);
});

test('who sees an agent that was removed and enrolled anew hears nothing of the one before', async () => {
  const { api, core, agents, measure } = await liveRig();
  await agents('berlin', 'alpha');
  await measure('alpha', 10);
  await core.agents.revoke('ada', 'alpha', '');
  await core.agents.remove('ada', 'alpha');
  await agents('paris', 'alpha');
  const limited = api.trpcWith(await api.tokenFor('viewer', { sites: ['paris'] }));
  const heard = hear<SampleEvent>((handlers) =>
    limited.live.telemetry.subscribe({ intervalMs: 0 }, handlers),
  );
  await heard.until(() => true);
  await measure('alpha', 20);
  await heard.until(({ samples }) => samples.length > 0);
  expect(told(heard.events)).toEqual([
    { snapshot: 'start', samples: [], skipped: 0 },
    { snapshot: undefined, samples: ['alpha 2'], skipped: 0 },
  ]);
});

test('presence is told as it changes', async () => {
  const { api, core, agents } = await liveRig();
  await agents('berlin', 'alpha');
  interface Agents {
    agents: { agentId: string; status: string }[];
    gone: string[];
  }
  const client = await api.trpc('viewer');
  const seen = hear<Agents>((handlers) =>
    client.live.agents.subscribe({ selector: { statuses: ['online', 'maintenance'] } }, handlers),
  );
  await seen.until((event) => event.agents.some(({ status }) => status === 'online'));
  await core.agents.setMaintenance('alpha', true, 'new disk');
  await seen.until((event) => event.agents.some(({ status }) => status === 'maintenance'));
  await becomes(core, 'alpha', { presence: 'offline', maintenance: false });
  core.bus.publish('agent.changed', 'alpha');
  await seen.until(({ gone }) => gone.includes('alpha'));
});

test('alerts are told from their beginning to their end', async () => {
  const { api, core, alerts, agents } = await liveRig();
  await agents('berlin', 'alpha');
  const client = await api.trpc('viewer');
  interface Alerts {
    snapshot?: { because: string } | undefined;
    alerts: { rule: string; state: string; resolvedAt?: string | undefined }[];
    gone: string[];
  }
  const rule = { name: 'hot', severity: 'critical', metric: 'cpu.percent', threshold: 80 } as const;
  await alerts.saveRule('ada', rule, undefined);
  const heard = hear<Alerts>((handlers) =>
    client.live.alerts.subscribe({ rule: 'hot', selector: { statuses: ['online'] } }, handlers),
  );
  expect(await heard.until(() => true)).toMatchObject({ snapshot: { because: 'start' }, alerts: [] });
  const observe = async (value: number) => {
    core.clock.advance(60_000);
    alerts.onStored([cpu('alpha', core.clock.now(), value)]);
    await alerts.look();
  };
  await observe(90);
  const [fired] = (await heard.until((event) => event.alerts.some(({ state }) => state === 'firing'))).alerts;
  const later = hear<Alerts>((handlers) => client.live.alerts.subscribe({ states: ['firing'] }, handlers));
  expect((await later.until(() => true)).alerts).toEqual([fired]);
  await observe(10);
  const end = await heard.until((event) => event.alerts.some(({ state }) => state === 'resolved'));
  expect(end.alerts[0]?.resolvedAt).toBeTruthy();
  // For one who looks at what fires, it is gone.
  await later.until(({ gone }) => gone.length === 1);
});

test('an alert that never fired is gone again', async () => {
  const { api, core, alerts, agents } = await liveRig();
  await agents('berlin', 'alpha');
  const slow = {
    name: 'slow',
    severity: 'info',
    metric: 'cpu.percent',
    threshold: 80,
    forMs: 600_000,
  } as const;
  await alerts.saveRule('ada', slow, undefined);
  const client = await api.trpc('viewer');
  interface Alerts {
    alerts: { alertId: string; state: string }[];
    gone: string[];
  }
  const heard = hear<Alerts>((handlers) => client.live.alerts.subscribe({ rule: 'slow' }, handlers));
  await heard.until(() => true);
  for (const value of [90, 10]) {
    core.clock.advance(1000);
    alerts.onStored([cpu('alpha', core.clock.now(), value)]);
    await alerts.look();
  }
  const begun = await heard.until((event) => event.alerts.some(({ state }) => state === 'pending'));
  const { gone } = await heard.until((event) => event.gone.length > 0);
  expect(gone).toEqual([begun.alerts[0]?.alertId]);
});

test('for a reader that does not read nothing is kept, and it ends with the newest of each', {
  timeout: 60_000,
}, async () => {
  const fleet = Array.from({ length: 400 }, (_, n) => `agent-${n}`);
  const { api, core, agents, pulled } = await liveRig({ samples: 2000 });
  await agents('berlin', ...fleet);
  const socket = net.connect(Number(new URL(api.url1).port), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  const { authorization } = await api.authorization('viewer');
  const input = encodeURIComponent(JSON.stringify({ intervalMs: 0, full: true }));
  socket.write(
    `GET /trpc/live.telemetry?input=${input} HTTP/1.1\r\nHost: a\r\nAuthorization: ${authorization}\r\n\r\n`,
  );
  await once(socket, 'readable');
  socket.pause();
  const metrics = Object.fromEntries(Array.from({ length: 250 }, (_, n) => [`metric_${n}`, n]));
  const rounds = 40;
  const at = core.clock.now();
  const say = async (number: number) => {
    const sample = { ...sampleAt(number, at + number), metrics };
    await Promise.all(
      fleet.map((agentId) => core.telemetry.ingest({ agentId, bootId: boot() }, frame(sample))),
    );
  };
  const inTurn = async (first: number, last: number) => {
    for (let number = first; number <= last; number++) await say(number);
  };
  await inTurn(1, rounds / 2);
  const before = pulled();
  // The buffers of the network are full: of all that comes nothing is even made for it.
  await inTurn(rounds / 2 + 1, rounds);
  expect(pulled()).toBe(before);
  expect(before).toBeLessThan((rounds / 2) * fleet.length);
  const newest = new Map<string, number>();
  const reasons = new Set<string>();
  const done = Promise.withResolvers<void>();
  const parse = createEventParser(({ data }) => {
    if (!data.includes('"samples"')) return;
    const event: SampleEvent = JSON.parse(data);
    if (event.snapshot !== undefined) reasons.add(event.snapshot.because);
    for (const { agentId, number } of event.samples) newest.set(agentId, number);
    if (newest.size === fleet.length && [...newest.values()].every((number) => number === rounds))
      done.resolve();
  });
  socket.setEncoding('utf8');
  let inBody = false;
  socket.on('data', (text: string) => {
    // The framing of chunks lies between events and within long ones; it is taken out here.
    chunks += text;
    if (!inBody) {
      const head = chunks.indexOf('\r\n\r\n');
      if (head < 0) return;
      inBody = true;
      chunks = chunks.slice(head + 4);
    }
    for (;;) {
      const [, size = ''] = /^([0-9a-f]+)\r\n/i.exec(chunks) ?? [];
      const length = Number.parseInt(size, 16);
      if (size === '' || chunks.length < size.length + 2 + length + 2) return;
      parse(chunks.slice(size.length + 2, size.length + 2 + length));
      chunks = chunks.slice(size.length + 2 + length + 2);
    }
  });
  let chunks = '';
  socket.resume();
  await done.promise;
  expect(reasons).toContain('behind');
});

test('over gRPC a stream begins, goes on and ends as over tRPC', async () => {
  const { api, agents, measure } = await liveRig();
  await agents('berlin', 'alpha');
  await measure('alpha', 10);
  const control = await api.control('grpc', 'viewer');
  const stop = new AbortController();
  const request = { selector: { sites: ['berlin'] }, full: true, interval: { seconds: 0n, nanos: 0 } };
  const stream = control.watchTelemetry(request, { signal: stop.signal })[Symbol.asyncIterator]();
  const { value: first } = await stream.next();
  expect(first?.snapshot).toMatchObject({ part: 1, parts: 1, because: SnapshotReason.START });
  expect(first?.samples[0]).toMatchObject({ agentId: 'alpha', number: 1n, cpu: 10, sample: { number: '1' } });
  expect(first?.samples[0]?.swap).toBeUndefined();
  stop.abort();
  await errorOf(stream.next());
  await measure('alpha', 20);
  await measure('alpha', 30);
  const again = control
    .watchTelemetry({ ...request, resumeToken: first?.resumeToken })
    [Symbol.asyncIterator]();
  const { value: second } = await again.next();
  expect(second).toMatchObject({ skipped: 1n, samples: [{ number: 3n, cpu: 30 }] });
  expect(second?.snapshot).toBeUndefined();
  const failed = errorOf(again.next());
  api.stopStreams();
  expect(await failed).toMatchObject({ code: 'draining', retryable: true });
});

test('a stop of the server has the client connect again', async () => {
  const { api } = await liveRig();
  const url = `${api.url1}/trpc/live.agents?input=${encodeURIComponent('{}')}`;
  const response = await fetch(url, { headers: await api.authorization('viewer') });
  const text = response.text();
  await api.drain();
  expect(await text).toContain('"code":"draining"');
  expect(await text).not.toContain('event: return');
});

test('a stream ends within seconds after its token was revoked', { timeout: 20_000 }, async () => {
  const { api } = await liveRig();
  const token = await api.tokenFor('viewer');
  const client = api.trpcWith(token);
  const heard = hear<object>((handlers) => client.live.telemetry.subscribe(undefined, handlers));
  await heard.until(() => true);
  await api.serviceTokens.revoke('ada', (await api.userTokens.verify(token)).tokenId ?? '');
  await expect(heard.ended).rejects.toMatchObject({ data: { code: 'unauthenticated' } });
});

test('more streams than there may be are refused, with a time to try again', async () => {
  const { api } = await liveRig({ maxStreams: 2, maxStreamsOfToken: 1 });
  const [ada, bob, eve] = await Promise.all(
    ['ada', 'bob', 'eve'].map(async () => api.trpcWith(await api.tokenFor('viewer'))),
  );
  const open = async (client: typeof ada) => {
    const heard = hear<object>(
      (handlers) => client?.live.agents.subscribe(undefined, handlers) ?? { unsubscribe() {} },
    );
    await Promise.race([heard.until(() => true), heard.ended]);
    return heard;
  };
  const first = await open(ada);
  const refused = { message: expect.stringContaining('of this token'), data: { code: 'rate_limited' } };
  await expect(open(ada)).rejects.toMatchObject(refused);
  await open(bob);
  await expect(open(eve)).rejects.toMatchObject({ data: { code: 'rate_limited', retryAfterMs: 5000 } });
  first.close();
  await expect
    .poll(async () => (await open(eve).catch(() => undefined)) !== undefined, { timeout: 10_000 })
    .toBe(true);
});

test('what is missed while nobody listens, and what nobody told, is there when somebody does', async () => {
  const { api, core, agents, measure } = await liveRig({ everyMs: 50 });
  await agents('berlin', 'alpha');
  await measure('alpha', 10);
  const heard = await hearSamples(api);
  await heard.until(() => true);
  // Written by something that tells nobody.
  await alertsOn(core).look();
  await core.database.query(
    statement(
      'test_silent',
      `insert into agents (agent_id, site, incarnation, presence) values ('beta', 'x', 1, 'online')`,
    ),
    [],
  );
  await measure('beta', 20);
  await heard.until(({ samples }) => samples.some(({ agentId }) => agentId === 'beta'));
});
