"""Checks test/vectors/commands.json with nothing but this folder's own code: `verify_commands.py FILE`."""
import json, os, sys, tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

sys.path.insert(0, os.environ.get('VIWORKS_STUBS', str(Path(__file__).parent / 'build')))
from trust import CommandTrust, leaf_of, lp, root_from
from viworks.agent.v1 import command_pb2 as orders, handshake_pb2 as wire

vectors = json.loads(Path(sys.argv[1]).read_text())
keys, given = vectors['keys'], {name: bytes.fromhex(value) for name, value in vectors['key_set'].items()}
now = 1767323045  # 2026-01-02T03:04:05Z
checked = 0


def same(name, actual, expected):
    global checked
    checked += 1
    if actual != expected:
        sys.exit(f'{name}: {actual.hex() if isinstance(actual, bytes) else actual} is not what the vectors say')


server = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(keys['server_seed']))
signer = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(keys['command_seed']))
same('key set', lp('viworks.command-keys.v1', given['key_set']), given['key_set_signed'])
same('key set signature', server.sign(given['key_set_signed']), given['key_set_signature'])

with tempfile.TemporaryDirectory() as folder:
    trust = CommandTrust({keys['server_key_id']: keys['server_public_key']}, Path(folder) / 'version')
    said = wire.CommandKeys.FromString(given['command_keys'])
    trust.accept(said)
    for tree in vectors['trees']:
        root = bytes.fromhex(tree['root'])
        same('root', lp('viworks.command-tree.v1', root).hex(), tree['root_signed'])
        same('root signature', signer.sign(bytes.fromhex(tree['root_signed'])).hex(), tree['root_signature'])
        for index, example in enumerate(tree['commands']):
            leaf = leaf_of(bytes.fromhex(example['body']))
            same('leaf', leaf.hex(), example['leaf'])
            same('way', root_from(leaf, index, tree['size'], bytes.fromhex(example['path'])), root)
            command = orders.Command.FromString(bytes.fromhex(example['command']))
            same('command', trust.problem(command, now), None)
            same('too early', trust.problem(command, now - 60), 'its key is not to sign yet')
            for at in range(len(command.body)):
                forged = orders.Command.FromString(command.SerializeToString())
                forged.body = command.body[:at] + bytes([command.body[at] ^ 1]) + command.body[at + 1:]
                same('forged', trust.problem(forged, now), 'its signature is wrong')
    said.key_set = said.key_set[:-1] + bytes([said.key_set[-1] ^ 1])
    try:
        trust.accept(said)
        sys.exit('a key set with a flipped bit is believed')
    except ConnectionError:
        pass
print(f'{checked} checks passed')
