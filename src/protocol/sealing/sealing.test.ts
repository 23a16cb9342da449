import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { SealedSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { SealedContentSchema } from '#gen/viworks/agent/v1/sealing_pb.js';
import { TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { ViworksError } from '../../errors.ts';
import type { Connection } from '../connection.ts';
import { decodeBinary, encodeBinary } from '../envelope.ts';
import { wireLimits } from '../limits.ts';
import {
  type SealedConnection,
  type SealingLimits,
  sealConnection,
  sealedEnvelopeBytes,
  sealingLimits,
} from './connection.ts';
import { envelopesOfFrame, readContent, writeContent } from './content.ts';
import { createLane } from './lane.ts';
import { ephemeralFromSeed, newEphemeral } from './primitives.ts';
import { type Role, sessionSecrets, type Transcript } from './secrets.ts';

const said: Transcript = {
  offer: Uint8Array.of(1),
  terms: Uint8Array.of(2),
  challengeSignature: Uint8Array.of(3),
  statement: Uint8Array.of(4),
  proofSignature: Uint8Array.of(5),
};

/** One end, with what left it and what came out of its frames. */
interface End {
  connection: SealedConnection;
  /** Frames that left and have not been taken. */
  wire: Envelope[];
  heard: bigint[];
  closed: (ViworksError | undefined)[];
  /** Of the last frame that left. */
  generation(): number;
}

interface Pair {
  agent: End;
  server: End;
  time: { ms: number };
  /** Hands over the next frame of one end to the other. */
  pass(from: Role): void;
}

function createEnd(role: Role, shared: Uint8Array, limits: SealingLimits, time: { ms: number }): End {
  const wire: Envelope[] = [];
  let generation = 0;
  const heard: bigint[] = [];
  const closed: (ViworksError | undefined)[] = [];
  const below: Connection = {
    peer: { transport: 'connect', encoding: 'binary', remoteAddress: '', tls: false },
    send: (message) => {
      wire.push(decodeBinary(encodeBinary(message)));
      generation = frame(message).keyGeneration;
    },
    bufferedBytes: 0,
    receivedBytes: 0,
    pause: () => {},
    resume: () => {},
    close: (error) => void closed.push(error),
    destroy: () => {},
  };
  const connection = sealConnection(below, {
    role,
    secrets: sessionSecrets(shared, said),
    clock: { monotonic: () => time.ms },
    limits,
    deliver: ({ sequence }) => void heard.push(sequence),
  });
  return { connection, wire, heard, closed, generation: () => generation };
}

/** Two ends after WELCOME. */
async function createPair(limits: SealingLimits = sealingLimits): Promise<Pair> {
  const [one, two] = [newEphemeral(), newEphemeral()];
  const time = { ms: 0 };
  const agent = createEnd('agent', one.agree(two.publicKey), limits, time);
  const server = createEnd('server', two.agree(one.publicKey), limits, time);
  const pair: Pair = {
    agent,
    server,
    time,
    pass(from) {
      const [sender, taker] = from === 'agent' ? [agent, server] : [server, agent];
      const frame = sender.wire.shift();
      if (frame === undefined) throw new Error('nothing left');
      taker.connection.receive(frame);
    },
  };
  server.connection.send(numbered(0));
  server.connection.bind('the-session', 7n);
  pair.pass('server');
  agent.connection.bind('the-session', 7n);
  agent.heard.length = 0;
  return pair;
}

const numbered = (sequence: number) => create(EnvelopeSchema, { sequence: BigInt(sequence) });
const tick = () => Promise.resolve();
const frame = ({ body }: Envelope) => {
  if (body.case !== 'sealed') throw new Error('not a frame');
  return body.value;
};

test('both ends make the same secrets, another transcript or another key makes others', () => {
  const [one, two, three] = [newEphemeral(), newEphemeral(), newEphemeral()];
  const ours = sessionSecrets(one.agree(two.publicKey), said);
  expect(sessionSecrets(two.agree(one.publicKey), said)).toEqual(ours);
  const values = (secrets: typeof ours) =>
    [...Object.values(secrets.chains), ...Object.values(secrets.confirmations)].map((bytes) =>
      Buffer.from(bytes).toString('hex'),
    );
  const all = values(ours);
  for (const part of Object.keys(said)) {
    all.push(...values(sessionSecrets(one.agree(two.publicKey), { ...said, [part]: Uint8Array.of(9) })));
  }
  all.push(...values(sessionSecrets(three.agree(two.publicKey), said)));
  expect(new Set(all).size).toBe(all.length);
});

test.each([
  ['zero', new Uint8Array(32)],
  ['one', Uint8Array.from({ length: 32 }, (_, n) => (n === 0 ? 1 : 0))],
  ['of order eight', Buffer.from('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800', 'hex')],
  ['too short', new Uint8Array(31)],
  ['too long', new Uint8Array(33)],
])('a public key that is %s is none', (_, key) => {
  expect(() => newEphemeral().agree(key)).toThrow(expect.objectContaining({ code: 'protocol_violation' }));
});

test('the agreement is that of RFC 7748, section 5.2', () => {
  const hex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));
  const own = ephemeralFromSeed(hex('a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4'));
  const peer = hex('e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c');
  expect(Buffer.from(own.agree(peer)).toString('hex')).toBe(
    'c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552',
  );
});

test('envelopes of one tick share a frame, and come in their order', async () => {
  const { agent, server, pass } = await createPair();
  for (let n = 1; n <= 5; n += 1) agent.connection.send(numbered(n));
  expect(agent.connection.bufferedBytes).toBeGreaterThan(0);
  await tick();
  expect(agent.wire).toHaveLength(1);
  expect(agent.connection.bufferedBytes).toBe(0);
  pass('agent');
  expect(server.heard).toEqual([1n, 2n, 3n, 4n, 5n]);
});

test('the same content is never the same on the wire', async () => {
  const { agent, server } = await createPair();
  const texts = new Set<string>();
  for (let n = 0; n < 50; n += 1) {
    for (const end of [agent, server]) {
      end.connection.send(numbered(1));
      await tick();
    }
  }
  for (const message of [...agent.wire, ...server.wire]) {
    texts.add(Buffer.from(frame(message).ciphertext).toString('hex'));
  }
  expect(texts.size).toBe(100);
});

test('whatever both say, whenever keys change, all of it arrives once and in order', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('send' as const), from: fc.constantFrom<Role>('agent', 'server') }),
    fc.record({ do: fc.constant('pass' as const), from: fc.constantFrom<Role>('agent', 'server') }),
    fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 40 }) }),
  );
  let generations = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 200, size: 'max' }), async (steps) => {
      const pair = await createPair({ keyLifetimeMs: 30, keyFrames: 3, agreementMs: 50 });
      const sent = { agent: 0, server: 0 };
      for (const each of steps) {
        if (each.do === 'wait') pair.time.ms += each.ms;
        else if (each.do === 'send') {
          sent[each.from] += 1;
          pair[each.from].connection.send(numbered(sent[each.from]));
        } else if (pair[each.from].wire.length > 0) pair.pass(each.from);
        // Some leave together, some alone.
        if (pair.time.ms % 3 !== 0) await tick();
      }
      await tick();
      while (pair.agent.wire.length + pair.server.wire.length > 0) {
        if (pair.agent.wire.length > 0) pair.pass('agent');
        if (pair.server.wire.length > 0) pair.pass('server');
      }
      generations = Math.max(generations, pair.agent.generation(), pair.server.generation());
      const upTo = (count: number) => Array.from({ length: count }, (_, n) => BigInt(n + 1));
      expect(pair.server.heard).toEqual(upTo(sent.agent));
      expect(pair.agent.heard).toEqual(upTo(sent.server));
    }),
  );
  expect(generations).toBeGreaterThan(3);
});

test('an hour brings keys that nobody knows who knew those before', async () => {
  const { agent, server, pass, time } = await createPair();
  time.ms = sealingLimits.agreementMs;
  agent.connection.send(numbered(1));
  await tick();
  pass('agent');
  // The server answers at once, though nobody said anything.
  expect(server.wire).toHaveLength(1);
  pass('server');
  for (const [from, n] of [
    ['agent', 2],
    ['server', 1],
    ['agent', 3],
  ] as const) {
    const end = from === 'agent' ? agent : server;
    end.connection.send(numbered(n));
    await tick();
    pass(from);
  }
  expect(server.heard).toEqual([1n, 2n, 3n]);
  expect(agent.heard).toEqual([1n]);
});

test('keys that are too old end the session', async () => {
  const { agent, pass, time } = await createPair({
    ...sealingLimits,
    agreementMs: 10 * sealingLimits.agreementMs,
  });
  time.ms = 2 * sealingLimits.agreementMs + 1;
  agent.connection.send(numbered(1));
  await tick();
  expect(() => pass('agent')).toThrow(expect.objectContaining({ code: 'protocol_violation' }));
});

/** An end that says in its frames what a test wants. */
function liar(role: Role, shared: Uint8Array) {
  const lane = createLane(role, sessionSecrets(shared, said).chains[role]);
  const say = (envelopes: Envelope[], key?: Uint8Array) => {
    const value = create(SealedSchema, lane.seal(writeContent(envelopes.map(encodeBinary), key)));
    return create(EnvelopeSchema, { body: { case: 'sealed', value } });
  };
  return { lane, say };
}

function honest(role: Role) {
  const [one, two] = [newEphemeral(), newEphemeral()];
  const end = createEnd(role, one.agree(two.publicKey), sealingLimits, { ms: 0 });
  const other = liar(role === 'agent' ? 'server' : 'agent', two.agree(one.publicKey));
  return { end, other };
}

const violation = expect.objectContaining({ code: 'protocol_violation' });

test('a server that answers what nobody asked ends the session', () => {
  const { end, other } = honest('agent');
  end.connection.receive(other.say([numbered(0)]));
  end.connection.bind('s', 1n);
  other.lane.bind('s', 1n);
  const key = newEphemeral().publicKey;
  expect(() => end.connection.receive(other.say([], key))).toThrow(violation);
});

test('an agent that asks again before it took the answer ends the session', () => {
  const { end, other } = honest('server');
  end.connection.send(numbered(0));
  end.connection.bind('s', 1n);
  other.lane.bind('s', 1n);
  end.connection.receive(other.say([], newEphemeral().publicKey));
  expect(end.wire).toHaveLength(2);
  expect(() => end.connection.receive(other.say([], newEphemeral().publicKey))).toThrow(violation);
});

test('WELCOME comes alone, and a key of the wrong length is none', () => {
  for (const content of [[], [numbered(0), numbered(1)]]) {
    const { end, other } = honest('agent');
    expect(() => end.connection.receive(other.say(content))).toThrow(violation);
    expect(end.heard).toEqual([]);
  }
  const { end, other } = honest('server');
  end.connection.bind('s', 1n);
  other.lane.bind('s', 1n);
  expect(() => end.connection.receive(other.say([], new Uint8Array(31)))).toThrow(violation);
});

test('an envelope is as large as it may be, and no larger', async () => {
  const { agent, server, pass } = await createPair();
  const filled = (bytes: number) => {
    const samples = [{ number: 1n, metrics: { ['x'.repeat(bytes)]: 1 } }];
    return create(EnvelopeSchema, {
      sequence: 1n,
      body: { case: 'telemetry', value: create(TelemetrySchema, { samples }) },
    });
  };
  const largest = sealedEnvelopeBytes('binary');
  const overhead = encodeBinary(filled(largest - 100)).byteLength - (largest - 100);
  agent.connection.send(filled(largest - overhead));
  expect(() => agent.connection.send(filled(largest - overhead + 1))).toThrow(
    expect.objectContaining({ code: 'message_too_large' }),
  );
  await tick();
  expect(encodeBinary(agent.wire[0] as Envelope).byteLength).toBeLessThanOrEqual(wireLimits.messageBytes);
  pass('agent');
  expect(server.heard).toEqual([1n]);
});

test('a paused owner gets nothing, and what is held when it goes on', async () => {
  const { agent, server, pass } = await createPair();
  for (let n = 1; n <= 3; n += 1) agent.connection.send(numbered(n));
  await tick();
  server.connection.pause();
  pass('agent');
  expect(server.heard).toEqual([]);
  agent.connection.send(numbered(4));
  await tick();
  pass('agent');
  server.connection.resume();
  expect(server.heard).toEqual([1n, 2n, 3n, 4n]);
});

test('what was said before the end still leaves; the transport learns the code and no more', async () => {
  const { agent, server } = await createPair();
  server.connection.send(numbered(1));
  server.connection.close(new ViworksError('superseded', 'Something about agent web-1.'));
  server.connection.send(numbered(2));
  await tick();
  expect(server.wire).toHaveLength(1);
  expect(server.closed).toMatchObject([{ code: 'superseded', message: 'The session has ended.' }]);
  agent.connection.receive(server.wire[0] as Envelope);
  expect(agent.heard).toEqual([1n]);
});

test.each<[string, (frames: Envelope[]) => Envelope | undefined]>([
  ['one left out', (frames) => frames[1]],
  ['an open envelope', () => numbered(1)],
  ['another counter', ([first]) => changed(first, { counter: 2n })],
  ['another generation', ([first]) => changed(first, { keyGeneration: 1 })],
  ['a generation far ahead', ([first]) => changed(first, { keyGeneration: 0xffff_ffff })],
  ['nothing in it', ([first]) => changed(first, { ciphertext: new Uint8Array(0) })],
  [
    'the tag alone',
    ([first]) => changed(first, { ciphertext: frame(first as Envelope).ciphertext.slice(-16) }),
  ],
])('%s ends the session', async (_, choose) => {
  const { agent, server } = await createPair();
  for (const n of [1, 2]) {
    agent.connection.send(numbered(n));
    await tick();
  }
  expect(() => server.connection.receive(choose(agent.wire) as Envelope)).toThrow(ViworksError);
  expect(server.heard).toEqual([]);
});

test('a frame is taken once', async () => {
  const { agent, server, pass } = await createPair();
  agent.connection.send(numbered(1));
  await tick();
  const again = agent.wire[0] as Envelope;
  pass('agent');
  expect(() => server.connection.receive(again)).toThrow(expect.objectContaining({ code: 'seal_broken' }));
  expect(server.heard).toEqual([1n]);
});

test('a frame is nothing to another session, nor to the one who sent it', async () => {
  const [one, two] = [await createPair(), await createPair()];
  one.agent.connection.send(numbered(1));
  await tick();
  const [sent] = one.agent.wire as [Envelope];
  expect(() => two.server.connection.receive(sent)).toThrow(expect.objectContaining({ code: 'seal_broken' }));
  // Its own next frame inwards is the second: WELCOME was the first.
  expect(() => one.agent.connection.receive(changed(sent, { counter: 2n }))).toThrow(
    expect.objectContaining({ code: 'seal_broken' }),
  );
});

test('no bit of a frame may be changed', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.integer({ min: 0, max: 7 }), async (at, bit) => {
      const { agent, server } = await createPair();
      agent.connection.send(numbered(1));
      await tick();
      const sent = agent.wire[0] as Envelope;
      const bytes = frame(sent).ciphertext.slice();
      const index = at % bytes.length;
      bytes[index] = (bytes[index] ?? 0) ^ (1 << bit);
      expect(() => server.connection.receive(changed(sent, { ciphertext: bytes }))).toThrow(
        expect.objectContaining({ code: 'seal_broken' }),
      );
    }),
    { numRuns: 60 },
  );
});

test('any bytes at all in place of a frame are refused in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        counter: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        ciphertext: fc.uint8Array({ maxLength: 200 }),
        keyGeneration: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      }),
      async (garbage) => {
        const { agent, server } = await createPair();
        agent.connection.send(numbered(1));
        await tick();
        expect(() => server.connection.receive(changed(agent.wire[0], garbage))).toThrow(ViworksError);
        expect(server.heard).toEqual([]);
      },
    ),
    { numRuns: 100 },
  );
});

function changed(message: Envelope | undefined, part: Partial<ReturnType<typeof frame>>): Envelope {
  const { counter, ciphertext, keyGeneration } = frame(message as Envelope);
  const value = { counter, ciphertext, keyGeneration, ...part };
  return create(EnvelopeSchema, { body: { case: 'sealed', value } });
}

test('content is written as the generated code writes it, and read back', () => {
  const parts = fc.array(fc.nat(), { maxLength: 20 });
  fc.assert(
    fc.property(parts, fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 })), (sequences, key) => {
      const envelopes = sequences.map(numbered);
      const bytes = writeContent(envelopes.map(encodeBinary), key ?? undefined);
      const generated = create(SealedContentSchema, {
        envelopes,
        ...(key === null ? {} : { ephemeralKey: key }),
      });
      expect(new Uint8Array(bytes)).toEqual(toBinary(SealedContentSchema, generated));
      const read = readContent(bytes);
      expect(read.envelopes).toEqual(fromBinary(SealedContentSchema, bytes).envelopes);
      expect(read.ephemeralKey && new Uint8Array(read.ephemeralKey)).toEqual(key ?? undefined);
    }),
  );
});

test('content that is none is refused in order, and so is too much of it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        readContent(bytes);
      } catch (error) {
        expect(error).toMatchObject({ code: 'protocol_violation' });
      }
    }),
    { numRuns: 500 },
  );
  const none = Array.from({ length: envelopesOfFrame }, () => new Uint8Array(0));
  expect(readContent(writeContent(none, undefined)).envelopes).toHaveLength(envelopesOfFrame);
  expect(() => readContent(writeContent([...none, new Uint8Array(0)], undefined))).toThrow(
    expect.objectContaining({ code: 'protocol_violation' }),
  );
});
