import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { SealedSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { createEnd, createPair, numbered, said, tick } from '../../../test/support/sealed-pair.ts';
import { encodeBinary } from '../envelope.ts';
import { sealingLimits } from './connection.ts';
import { writeContent } from './content.ts';
import { createLane } from './lane.ts';
import { newEphemeral } from './primitives.ts';
import { type Role, sessionSecrets } from './secrets.ts';

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
