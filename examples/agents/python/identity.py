"""The identity: a key pair made here, and what enrolment answered. docs/agents.md, "Enrolment"."""
import json, os

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from protocol import key_id, lp
from viworks.agent.v1.agent_service_pb2 import EnrollRequest

RAW = (form.Encoding.Raw, form.PublicFormat.Raw)
PEM = (form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


def write_durably(path, data):
    """Whole or not at all, for the owner alone."""
    temporary = path.with_suffix('.new')
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'wb') as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_identity(folder, stub, token, agent_id):
    """The private key, who the agent is, and the server's keys by id; enrols where nothing is stored yet."""
    key_file, identity_file = folder / 'agent.key', folder / 'identity.json'
    if not key_file.exists():  # Stored first: an identity whose key is lost helps nobody.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(key_file, Ed25519PrivateKey.generate().private_bytes(*PEM))
    key = form.load_pem_private_key(key_file.read_bytes(), None)
    if not identity_file.exists():
        public = key.public_key().public_bytes(*RAW)
        signature = key.sign(lp('viworks.enroll.v1', token.encode(), agent_id.encode(), public))
        answer = stub.Enroll(
            EnrollRequest(token=token, agent_id=agent_id, public_key=public, signature=signature), timeout=30)
        write_durably(identity_file, json.dumps({
            'me': {'agent_id': answer.agent_id, 'incarnation': answer.incarnation, 'key_id': key_id(public)},
            'server_keys': {known.key_id: known.public_key.hex() for known in answer.server_keys}}).encode())
    stored = json.loads(identity_file.read_text())
    return key, stored['me'], {name: bytes.fromhex(public) for name, public in stored['server_keys'].items()}
