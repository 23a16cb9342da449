"""Checks test/vectors with this folder's own code: `verify_vectors.py handshake.json frames.json`."""
import json, os, sys
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

sys.path.insert(0, os.environ.get('VIWORKS_STUBS', str(Path(__file__).parent / 'build')))
from sealing import RAW, Lane, Seal, agree, expand, lp
from viworks.agent.v1 import handshake_pb2 as wire
from viworks.agent.v1.envelope_pb2 import Envelope
from viworks.agent.v1.sealing_pb2 import SealedContent

vectors = json.loads(Path(sys.argv[1]).read_text())
keys, enrollment = vectors['keys'], vectors['enrollment']
shake = {name: bytes.fromhex(value) for name, value in vectors['handshake'].items()}
checked = 0


def key_id(public):
    return sha256(public).hexdigest()[:32]


def same(name, actual, expected):
    global checked
    checked += 1
    if actual != expected:
        sys.exit(f'{name}: {actual.hex() if isinstance(actual, bytes) else actual} is not what the vectors say')


example = vectors['lp']
same('lp', lp(example['domain'], *map(bytes.fromhex, example['parts'])), bytes.fromhex(example['bytes']))
agent = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(keys['agent_seed']))
server = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(keys['server_seed']))
for name, key in (('agent', agent), ('server', server)):
    same(f'{name} key', key.public_key().public_bytes(*RAW).hex(), keys[f'{name}_public_key'])
    same(f'{name} key id', key_id(key.public_key().public_bytes(*RAW)), keys[f'{name}_key_id'])

token, agent_id = enrollment['token'].encode(), enrollment['agent_id'].encode()
signed = lp('viworks.enroll.v1', token, agent_id, bytes.fromhex(keys['agent_public_key']))
same('enrolment', signed.hex(), enrollment['signed'])
same('enrolment signature', agent.sign(signed).hex(), enrollment['signature'])

offer, terms, statement = shake['hello_offer'], shake['challenge_terms'], shake['proof_statement']
signed = lp('viworks.handshake.challenge.v1', offer, terms)
same('challenge', signed, shake['challenge_signed'])
same('challenge signature', server.sign(signed), shake['challenge_signature'])
signed = lp('viworks.handshake.proof.v1', offer, terms, shake['challenge_signature'], statement)
same('proof', signed, shake['proof_signed'])
same('proof signature', agent.sign(signed), shake['proof_signature'])

same('offer', wire.HelloOffer.FromString(offer).agent_id, enrollment['agent_id'])
same('terms', wire.ChallengeTerms.FromString(terms).protocol_version, 1)
same('statement', wire.ProofStatement.FromString(statement).agent_time.ToMilliseconds() % 1000, 500)
same('HELLO', Envelope.FromString(shake['hello_envelope']).hello.offer, offer)
same('CHALLENGE', Envelope.FromString(shake['challenge_envelope']).challenge.terms, terms)
same('PROOF', Envelope.FromString(shake['proof_envelope']).proof.signature, shake['proof_signature'])

# Frames: both ends, over WELCOME, a ratchet and a fresh agreement.
vectors = json.loads(Path(sys.argv[2]).read_text())
ephemeral, chains = vectors['ephemeral'], vectors['chains']
shake = {name: bytes.fromhex(value) for name, value in vectors['handshake'].items()}
X = X25519PrivateKey.from_private_bytes


def agreed(pair, agent, server, shared):
    private = [X(bytes.fromhex(pair[f'{name}_seed'])) for name in (agent, server)]
    public = [key.public_key().public_bytes(*RAW) for key in private]
    for name, key in zip((agent, server), public):
        same(f'{name} ephemeral key', key.hex(), pair[f'{name}_public_key'])
    for own, peer in zip(private, reversed(public)):
        same('shared', agree(own, peer).hex(), pair[shared])
    return private[0], public[1]


offer, terms, signature = shake['hello_offer'], shake['challenge_terms'], shake['challenge_signature']
same('sealed challenge', server.sign(lp('viworks.handshake.challenge.v1', offer, terms)), signature)
said = [offer, terms, signature, shake['proof_statement']]
same('sealed proof', agent.sign(lp('viworks.handshake.proof.v1', *said)), shake['proof_signature'])
said.append(shake['proof_signature'])
same('transcript', sha256(lp('viworks.handshake.transcript.v1', *said)).digest(), shake['transcript'])
same('offered key', wire.HelloOffer.FromString(offer).ephemeral_key.hex(), ephemeral['agent_public_key'])
same('terms key', wire.ChallengeTerms.FromString(terms).ephemeral_key.hex(), ephemeral['server_public_key'])
seal = Seal()
seal.own, peer_key = agreed(ephemeral, 'agent', 'server', 'shared')
same('confirmation', seal.agree(peer_key, *said).hex(), vectors['confirmations']['agent'])
same('confirmation of the server', seal.expected.hex(), vectors['confirmations']['server'])
fresh = agree(*agreed(chains, 'fresh_agent', 'fresh_server', 'fresh_shared'))
for name, lane in (('agent', seal.outward), ('server', seal.inward)):
    other = Lane(lane.direction, lane.chain)
    for state, shared in (('first', None), ('ratcheted', None), ('fresh', fresh)):
        if state == 'fresh' and name == 'server':  # It goes from its first key to the fresh one.
            other = Lane(lane.direction, lane.chain)
        if state != 'first':
            other.step(shared)
        same(f'{state} chain', other.chain.hex(), chains[state][name])
        same(f'{state} key', expand(other.chain, b'', 'viworks.seal.key.v1').hex(), chains[f'{state}_keys'][name])
for frame in vectors['frames']:
    lane, sealed = seal.outward if frame['from'] == 'agent' else seal.inward, Envelope.FromString(
        bytes.fromhex(frame['envelope'])).sealed
    if sealed.key_generation > lane.generation:
        lane.step(None if sealed.key_generation == 1 and frame['from'] == 'agent' else fresh)
    before = lane.counter, lane.frames
    _, nonce, data = lane.next()
    same(frame['what'], (nonce.hex(), data.hex()), (frame['nonce'], frame['additional_data']))
    lane.counter, lane.frames = before
    same(frame['what'], lane.seal(bytes.fromhex(frame['content'])), sealed.ciphertext)
    lane.counter, lane.frames = before
    same(frame['what'], lane.open(sealed).hex(), frame['content'])
    same(frame['what'], (sealed.counter, sealed.key_generation), (frame['counter'], frame['key_generation']))
    if frame['what'] == 'WELCOME':
        told, = SealedContent.FromString(bytes.fromhex(frame['content'])).envelopes
        same('WELCOME', told.welcome.session_id, vectors['session']['session_id'])
        seal.welcomed(told)
    for index in range(0, len(sealed.ciphertext), 7):
        wrong = bytearray(sealed.ciphertext)
        wrong[index] ^= 1
        lane.counter -= 1
        sealed.ciphertext = bytes(wrong)
        try:
            lane.open(sealed)
        except InvalidTag:
            checked += 1
        else:
            sys.exit(f'{frame["what"]}: a changed frame is believed')
        wrong[index] ^= 1
        sealed.ciphertext = bytes(wrong)
print(f'{checked} checks passed')
