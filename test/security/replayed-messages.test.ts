import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { executionIn, submitTo } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { dial, enrolled } from '../support/fake-agent.ts';
import { frameOf, startWatchedAgent, type Tamper } from '../support/watched-agent.ts';

/** Somebody on the way keeps what passes and says it again, or leaves something out. */

const refusals: string[] = [];

const { core } = await startFileCore({
  // What is lost is noticed with the next frame, and this is the longest until then.
  limits: { heartbeatIntervalMs: 300 },
  authentication: { onRefused: (reason, { agentId }) => refusals.push(`${agentId}: ${reason}`) },
});

const run = async (agentId: string) => {
  const { commandId } = await submitTo(core, agentId);
  return executionIn(core.engine, commandId, 'succeeded');
};

test('a captured connection, said again from its first byte to its last, yields nothing', async () => {
  const agent = await startWatchedAgent(core, 'captured');
  await agent.state('open');
  await run('captured');
  await agent.agent.stop(0);
  const captured = [...agent.sent];
  expect(captured.length).toBeGreaterThan(3);
  const sessions = await core.count('sessions');

  const replay = await dial(core);
  const [hello, proof, ...rest] = captured;
  const say = (message: Envelope | undefined) => {
    if (message?.body.case === undefined) throw new Error('nothing was captured');
    replay.send(message.body as Parameters<typeof replay.send>[0], { sequence: message.sequence });
  };
  say(hello);
  await replay.next('challenge');
  say(proof);
  for (const message of rest) say(message);
  await replay.closed;
  expect(await core.count('sessions')).toBe(sessions);
  // What follows the proof is no part of a handshake, and ends it before or after the proof is refused.
  const alone = await dial(core);
  alone.send({ case: 'hello', value: hello?.body.value as never }, { sequence: 0n });
  await alone.next('challenge');
  alone.send({ case: 'proof', value: proof?.body.value as never }, { sequence: 0n });
  expect(await alone.next('error')).toMatchObject({
    code: 'authentication_failed',
    message: 'The agent could not be authenticated.',
  });
  await alone.closed;
  expect(refusals).toContain('captured: signature_wrong');
});

/** Lets pass what is no frame, and asks about the rest. */
const frames =
  (about: (counter: bigint, message: Envelope) => readonly Envelope[]): Tamper =>
  (message) => {
    const frame = frameOf(message);
    return frame === undefined ? [message] : about(frame.counter, message);
  };

/** Does something to one frame only, in the first session only. */
function once(counter: bigint, what: (message: Envelope) => readonly Envelope[]): Tamper {
  let done = false;
  return frames((each, message) => {
    if (done || each !== counter) return [message];
    done = true;
    return what(message);
  });
}

test.each<[string, { up?: Tamper; down?: Tamper }]>([
  ['a frame to the server comes twice', { up: once(2n, (message) => [message, message]) }],
  ['a frame to the server is lost', { up: once(2n, () => []) }],
  ['a frame to the agent comes twice', { down: once(2n, (message) => [message, message]) }],
  ['a frame to the agent is lost', { down: once(2n, () => []) }],
  ['the frames to the server change places', { up: swapped(2n) }],
  ['a bit changes on the way to the server', { up: once(2n, (message) => [flipped(message)]) }],
  ['a bit changes on the way to the agent', { down: once(2n, (message) => [flipped(message)]) }],
])('%s: the session ends, the next one is whole, and the work is done once', async (what, tamper) => {
  const name = what.replaceAll(/[^a-z]+/g, '-');
  const agent = await startWatchedAgent(core, name, tamper);
  expect((await agent.state('open')).epoch).toBe(1n);
  const { commandId } = await submitTo(core, name);
  const second = await submitTo(core, name);
  expect((await agent.state('waiting')).error).toMatchObject({ code: 'seal_broken', retryable: true });
  expect((await agent.state('open')).epoch).toBe(2n);
  await executionIn(core.engine, commandId, 'succeeded');
  await executionIn(core.engine, second.commandId, 'succeeded');
  expect(agent.runs).toHaveLength(2);
});

function swapped(counter: bigint): Tamper {
  let held: Envelope | undefined;
  let done = false;
  return frames((each, message) => {
    if (done) return [message];
    if (each === counter) {
      held = message;
      return [];
    }
    if (held === undefined) return [message];
    done = true;
    return [message, held];
  });
}

function flipped(message: Envelope): Envelope {
  const frame = frameOf(message);
  if (frame === undefined) return message;
  const ciphertext = frame.ciphertext.slice();
  ciphertext[0] = (ciphertext[0] ?? 0) ^ 1;
  const { counter, keyGeneration } = frame;
  return create(EnvelopeSchema, {
    body: { case: 'sealed', value: { counter, keyGeneration, ciphertext } },
  });
}

test('a frame of another session of the same agent is none of this one', async () => {
  const as = await enrolled(core, 'twice');
  const first = await startWatchedAgent(core, 'twice', { as });
  await first.state('open');
  await run('twice');
  const old = first.sent.filter((message) => frameOf(message) !== undefined);
  await first.agent.stop(0);
  let replayed = false;
  const second = await startWatchedAgent(core, 'twice', {
    as,
    up: frames((counter, message) => {
      const earlier = old.find((each) => frameOf(each)?.counter === counter);
      if (replayed || earlier === undefined) return [message];
      replayed = true;
      return [earlier];
    }),
  });
  expect((await second.state('open')).epoch).toBe(2n);
  const { commandId } = await submitTo(core, 'twice');
  expect((await second.state('waiting')).error).toMatchObject({ code: 'seal_broken' });
  await executionIn(core.engine, commandId, 'succeeded');
  expect(second.runs).toHaveLength(1);
});
