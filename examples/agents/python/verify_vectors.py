"""Checks test/vectors/handshake.json with nothing but this folder's own code: `verify_vectors.py FILE`."""
import json, os, sys
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

sys.path.insert(0, os.environ.get('VIWORKS_STUBS', str(Path(__file__).parent / 'build')))
from agent import RAW, lp
from viworks.agent.v1 import handshake_pb2 as wire
from viworks.agent.v1.envelope_pb2 import Envelope

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
print(f'{checked} checks passed')
