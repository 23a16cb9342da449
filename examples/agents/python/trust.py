"""Which commands an agent believes, as docs/agents.md has it under "Signed commands"."""
import time
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from viworks.agent.v1 import handshake_pb2 as wire


def lp(domain, *parts):
    """What is signed: each part with its length in front, as four bytes big endian."""
    return b''.join(len(part).to_bytes(4, 'big') + part for part in (domain.encode(), *parts))


def leaf_of(body):
    return sha256(b'\x00' + lp('viworks.command.v1', body)).digest()


def root_from(leaf, index, size, path):
    """RFC 9162, 2.1.3.2: the root that a leaf leads to, or None where there is no such place in such a tree."""
    node, last = leaf, size - 1
    if index > last or len(path) % 32:
        return None
    for sibling in (path[at:at + 32] for at in range(0, len(path), 32)):
        if last == 0:
            return None
        if index % 2 or index == last:
            node = sha256(b'\x01' + sibling + node).digest()
            while index % 2 == 0 and index:
                index, last = index // 2, last // 2
        else:
            node = sha256(b'\x01' + node + sibling).digest()
        index, last = index // 2, last // 2
    return None if last else node


class CommandTrust:
    def __init__(self, server_keys, version_file):
        """server_keys: key id to hex, from the enrolment. version_file: keeps the newest version that was seen."""
        self.server_keys, self.version_file, self.keys = server_keys, version_file, {}
        self.version = int(version_file.read_text()) if version_file.exists() else 0

    def accept(self, said):
        """A CommandKeys. Raises where no key of the server signed it; an old one changes nothing."""
        server = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.server_keys[said.key_id]))
        try:
            server.verify(said.signature, lp('viworks.command-keys.v1', said.key_set))
        except InvalidSignature:
            raise ConnectionError('command keys that the server did not sign') from None
        given = wire.CommandKeySet.FromString(said.key_set)
        if given.version < self.version:
            return
        self.version, self.keys = given.version, {key.key_id: key for key in given.keys}
        self.version_file.write_text(str(self.version))

    def problem(self, command, now=None):
        """Why the command is not to be believed, or None. Looks at nothing but its exact bytes."""
        now, why = time.time() if now is None else now, 'it is not signed'
        for signature in command.signatures[:4]:
            key = self.keys.get(signature.key_id)
            root = root_from(leaf_of(command.body), signature.leaf_index, signature.tree_size or 1, signature.path)
            if key is None or root is None:
                why = 'its key is not known, or revoked' if key is None else 'its place in the tree is none'
            elif key.not_before.ToMilliseconds() / 1000 > now + 5:
                why = 'its key is not to sign yet'
            elif key.HasField('not_after') and key.not_after.ToMilliseconds() / 1000 <= now:
                why = 'its key is to sign no more'
            else:
                try:
                    Ed25519PublicKey.from_public_bytes(key.public_key).verify(
                        signature.value, lp('viworks.command-tree.v1', root))
                    return None
                except InvalidSignature:
                    why = 'its signature is wrong'
        return why
