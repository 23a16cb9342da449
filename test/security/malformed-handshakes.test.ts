import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { HelloOfferSchema, type Proof, ProofSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { newIdBytes } from '../../src/lib/ids.ts';
import { newEphemeral } from '../../src/protocol/sealing/primitives.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { dial, enrolled, type FakeAgent, proofOf } from '../support/fake-agent.ts';
import { startWatchedAgent } from '../support/watched-agent.ts';

/** Handshakes made of whatever bytes: nothing crashes, and none of them opens a session. */

let agent: FakeAgent;

const { core } = await startFileCore();

beforeAll(async () => {
  agent = await enrolled(core, 'fuzzed');
});

const validOffer = () =>
  toBinary(
    HelloOfferSchema,
    create(HelloOfferSchema, {
      agentId: 'fuzzed',
      keyId: agent.key.keyId,
      incarnation: 1,
      bootId: newIdBytes(),
      protocolVersions: [1],
      ephemeralKey: newEphemeral().publicKey,
      capabilities: ['exec'],
      executionCredit: 10,
    }),
  );

/** What is done to bytes on their way. */
const damage = fc.oneof(
  fc.record({ what: fc.constant('flip' as const), at: fc.nat(), bit: fc.nat({ max: 7 }) }),
  fc.record({ what: fc.constant('cut' as const), at: fc.nat() }),
  fc.record({ what: fc.constant('replace' as const), bytes: fc.uint8Array({ maxLength: 300 }) }),
);
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

function damaged(bytes: Uint8Array, how: Damage): Uint8Array {
  if (how.what === 'replace') return how.bytes;
  const at = how.at % Math.max(bytes.length, 1);
  if (how.what === 'cut') return bytes.slice(0, at);
  return bytes.map((byte, index) => (index === at ? byte ^ (1 << how.bit) : byte));
}

test('a damaged HELLO gets an error, or a challenge that its agent does not believe', async () => {
  await fc.assert(
    fc.asyncProperty(damage, async (how) => {
      const session = await dial(core);
      const offer = damaged(validOffer(), how);
      session.send({ case: 'hello', value: { offer } as never }, { sequence: 0n });
      const answer = await Promise.race([
        session.next('challenge').then(() => 'challenge'),
        session.next('error').then(({ code }) => code),
      ]);
      expect(['challenge', 'protocol_violation', 'version_unsupported']).toContain(answer);
      session.destroy();
    }),
    { numRuns: 80 },
  );
  expect(await core.count('sessions')).toBe(0);
});

test('a damaged PROOF never opens a session', async () => {
  const parts = fc.constantFrom<keyof Pick<Proof, 'statement' | 'signature' | 'confirmation'>>(
    'statement',
    'signature',
    'confirmation',
  );
  await fc.assert(
    fc.asyncProperty(parts, damage, async (part, how) => {
      const session = await dial(core);
      const offer = validOffer();
      session.send({ case: 'hello', value: { offer } as never }, { sequence: 0n });
      const good = proofOf(agent.key, offer, await session.next('challenge'));
      const proof = create(ProofSchema, { ...good, confirmation: new Uint8Array(32).fill(1) });
      proof[part] = damaged(proof[part], how);
      session.send({ case: 'proof', value: proof }, { sequence: 0n });
      const { code } = await session.next('error');
      expect(['authentication_failed', 'protocol_violation']).toContain(code);
      await session.closed;
    }),
    { numRuns: 80 },
  );
  expect(await core.count('sessions')).toBe(0);
});

test('after all of it an honest agent is served', async () => {
  const honest = await startWatchedAgent(core, 'fuzzed', { as: agent });
  expect((await honest.state('open')).epoch).toBe(1n);
});
