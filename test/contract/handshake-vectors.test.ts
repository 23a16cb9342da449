import { readFileSync } from 'node:fs';
import { fromBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { makeFrameVectors } from '../../scripts/make-frame-vectors.ts';
import { makeVectors, vectorsFile } from '../../scripts/make-handshake-vectors.ts';
import { checkChallenge } from '../../src/agent/handshake.ts';
import { generateKeyPair, keyIdOf, verifyBytes } from '../../src/protocol/keys.ts';
import { enrollInput, proofInput } from '../../src/protocol/signed.ts';

const vectors: ReturnType<typeof makeVectors> = JSON.parse(readFileSync(vectorsFile, 'utf8'));
const { keys, enrollment, handshake } = vectors;
const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

test('the vectors are what the code makes', () => {
  expect(vectors, 'run: node scripts/make-handshake-vectors.ts').toEqual(makeVectors());
});

test('the server believes the enrolment and the proof', () => {
  const publicKey = bytes(keys.agent_public_key);
  expect(keyIdOf(publicKey)).toBe(keys.agent_key_id);
  const asked = enrollInput(enrollment.token, enrollment.agent_id, publicKey);
  expect(verifyBytes(publicKey, asked, bytes(enrollment.signature))).toBe(true);
  const { body } = fromBinary(EnvelopeSchema, bytes(handshake.proof_envelope));
  if (body.case !== 'proof') throw new Error('the envelope holds no PROOF');
  const said = proofInput(
    bytes(handshake.hello_offer),
    bytes(handshake.challenge_terms),
    bytes(handshake.challenge_signature),
    body.value.statement,
  );
  expect(verifyBytes(publicKey, said, body.value.signature)).toBe(true);
});

test('the agent believes the challenge, and not one for another offer', () => {
  const { body } = fromBinary(EnvelopeSchema, bytes(handshake.challenge_envelope));
  if (body.case !== 'challenge') throw new Error('the envelope holds no CHALLENGE');
  const { value } = body;
  const identity = {
    agentId: enrollment.agent_id,
    incarnation: 1,
    site: 's1',
    key: generateKeyPair(),
    serverKeys: [
      { keyId: keys.server_key_id, publicKey: bytes(keys.server_public_key), notAfter: undefined },
    ],
  };
  const offer = bytes(handshake.hello_offer);
  expect(checkChallenge(identity, offer, value, 0)).toEqual({
    protocolVersion: 1,
    serverTime: Date.UTC(2026, 0, 2, 3, 4, 5),
    ephemeralKey: undefined,
  });
  offer[offer.length - 1] = 5;
  expect(() => checkChallenge(identity, offer, value, 0)).toThrow(
    expect.objectContaining({ code: 'authentication_failed' }),
  );
});

const sealed = makeFrameVectors();
const [, frame] = sealed.frames;
if (frame === undefined) throw new Error('the vectors have no frame');

/** Every value of the vectors by its name, as the guide names it. */
const named = new Map(
  [
    vectors.lp,
    keys,
    enrollment,
    handshake,
    {
      agent_ephemeral_key: sealed.ephemeral.agent_public_key,
      server_ephemeral_key: sealed.ephemeral.server_public_key,
      shared: sealed.ephemeral.shared,
      transcript: sealed.handshake.transcript,
      agent_chain: sealed.chains.first.agent,
      agent_key: sealed.chains.first_keys.agent,
      agent_confirmation: sealed.confirmations.agent,
      frame_content: frame.content,
      frame_nonce: frame.nonce,
      frame_additional_data: frame.additional_data,
      frame_ciphertext: frame.ciphertext,
      frame_envelope: frame.envelope,
    },
  ].flatMap((group) =>
    Object.entries(group).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  ),
);

/** The guide's blocks: a line with the name, then the value, cut and indented to be read by people. */
function blocksOf(markdown: string): { name: string; value: string }[] {
  return [...markdown.matchAll(/^```hex (\w+)\n([\s\S]*?)^```/gm)].map(([, name = '', text = '']) => ({
    name,
    value: text.replaceAll(/#.*$/gm, '').replaceAll(/\s+/g, ''),
  }));
}

test('the worked example of the guide is that of the vectors', () => {
  const guide = readFileSync(new URL('../../docs/agents.md', import.meta.url), 'utf8');
  const blocks = blocksOf(guide);
  expect(blocks.map((block) => block.name)).toEqual(
    expect.arrayContaining(['agent_public_key', 'signed', 'hello_offer', 'challenge_signed', 'proof_signed']),
  );
  for (const { name, value } of blocks) expect({ name, value }).toEqual({ name, value: named.get(name) });
  for (const text of [enrollment.token, enrollment.agent_id, keys.agent_key_id, keys.server_key_id]) {
    expect(guide).toContain(text);
  }
});
