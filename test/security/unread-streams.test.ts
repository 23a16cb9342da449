import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { expect, onTestFinished, test } from 'vitest';
import { WatchCommandRequestSchema } from '#gen/viworks/control/v1/control_service_pb.js';
import type { WatchEvent } from '../../src/commands/types.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { joinFrames } from '../../src/protocol/frames.ts';
import { createListener } from '../../src/transport/listen.ts';
import { startApi } from '../support/api-server.ts';
import { submitTo } from '../support/app-core.ts';
import { ownCore } from '../support/app-core-own.ts';
import { enrolled } from '../support/fake-agent.ts';
import { memory } from '../support/memory.ts';
import { openRawSession } from '../support/raw-session.ts';

/** Those who do not read what they asked for, applications and agents: what waits is little, and not for ever. */

const reason = 'x'.repeat(50_000);
const mostPulled = 400;

/** A command about which there is always more to tell. */
async function rig() {
  const api = await startApi();
  const { command } = await (await api.trpc('operator')).commands.submit.mutate({
    verb: 'exec',
    args: { argv: ['true'] },
    target: { all: true },
  });
  const watch = api.commands.watch(command.commandId, undefined, AbortSignal.timeout(10_000));
  const first = await watch[Symbol.asyncIterator]().next();
  if (first.done === true) throw new Error('nothing is told of the command');
  const event: WatchEvent = first.value;
  const [execution] = event.executions;
  if (execution === undefined) throw new Error('the command has no execution');
  const transitions = [{ state: 'queued' as const, cause: reason, at: new Date(0) }];
  const state = { pulled: 0, ended: Promise.withResolvers<void>() };
  api.commands.watch = async function* () {
    try {
      for (;;) {
        state.pulled += 1;
        yield { ...event, cursor: `c${state.pulled}`, executions: [{ ...execution, transitions }] };
      }
    } finally {
      state.ended.resolve();
    }
  };
  const listener = createListener({
    host: '127.0.0.1',
    port: 0,
    onRequest: api.handler,
    log: silentLogger,
    unreadTimeoutMs: 400,
  });
  const { port } = await listener.start();
  onTestFinished(async () => {
    await listener.stop(0);
    await api[Symbol.asyncDispose]();
  });
  const { authorization } = await api.authorization('operator');
  return { port, state, commandId: command.commandId, authorization };
}

test('an event stream over HTTP/1.1', async () => {
  const { port, state, commandId, authorization } = await rig();
  const socket = net.connect(port, '127.0.0.1').pause();
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  const input = encodeURIComponent(JSON.stringify({ commandId }));
  socket.write(
    `GET /trpc/commands.watch?input=${input} HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nAuthorization: ${authorization}\r\n\r\n`,
  );
  await state.ended.promise;
  // Some megabytes lie in the buffers of the network.
  expect(state.pulled).toBeGreaterThan(1);
  expect(state.pulled).toBeLessThan(mostPulled);
});

test('a stream of gRPC over HTTP/2', async () => {
  const { port, state, commandId, authorization } = await rig();
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': '/viworks.control.v1.ControlService/WatchCommand',
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization,
  });
  stream.on('error', () => {});
  stream.pause();
  const request = create(WatchCommandRequestSchema, { commandId });
  stream.end(joinFrames([toBinary(WatchCommandRequestSchema, request)]));
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  expect(headers['grpc-status']).toBeUndefined();
  await state.ended.promise;
  expect(state.pulled).toBeGreaterThan(1);
  expect(state.pulled).toBeLessThan(mostPulled);
});

test('who reads slowly, but reads, is served', async () => {
  const { port, state, commandId, authorization } = await rig();
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': '/viworks.control.v1.ControlService/WatchCommand',
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization,
  });
  stream.on('error', () => {});
  stream.end(
    joinFrames([toBinary(WatchCommandRequestSchema, create(WatchCommandRequestSchema, { commandId }))]),
  );
  let ended = false;
  void state.ended.promise.then(() => {
    ended = true;
  });
  let bytes = 0;
  const until = performance.now() + 1_500;
  await new Promise<void>((resolve) => {
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (performance.now() > until) return resolve();
      stream.pause();
      setTimeout(() => stream.resume(), 100);
    });
  });
  expect(ended).toBe(false);
  expect(bytes).toBeGreaterThan(50_000);
});

test('an agent that takes large commands slowly is not cut, and gets all of them in order', {
  timeout: 40_000,
}, async () => {
  const { start } = await ownCore();
  const core = await start();
  const agent = await enrolled(core, 'slow');
  const session = await openRawSession(core, agent, { offer: { executionCredit: 1000 } });
  session.stopReading();
  const before = memory();
  const argv = ['true', ...new Array(4).fill('x'.repeat(100_000))];
  const submitted: string[] = [];
  for (let n = 0; n < 40; n++) submitted.push((await submitTo(core, 'slow', { args: { argv } })).commandId);
  // What waits for the agent stays, not a copy of all for each part of the way, once those have done their work.
  await expect.poll(() => memory() - before, { timeout: 15_000 }).toBeLessThan(64 * 1024 * 1024);
  session.read();
  expect(await session.commands(submitted.length)).toEqual(submitted);
  expect(await session.settled()).toBe('open');
});

test('an agent that comes back to more than its connection can hold at once gets all of it', async () => {
  const { start } = await ownCore();
  const core = await start();
  const agent = await enrolled(core, 'away');
  const argv = ['true', ...new Array(4).fill('x'.repeat(100_000))];
  const submitted = new Set<string>();
  for (let n = 0; n < 40; n++) submitted.add((await submitTo(core, 'away', { args: { argv } })).commandId);
  const session = await agent.connect({ offer: { executionCredit: 1000 } });
  const orders = new Set<string>();
  for (let n = 0; n < submitted.size; n++) orders.add((await session.order()).commandId);
  expect(orders).toEqual(submitted);
});
