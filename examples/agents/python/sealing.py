"""Sealed sessions for the agent: X25519, HKDF-SHA-256, ChaCha20-Poly1305. See docs/agents.md, "Sealed sessions"."""
import struct, threading, time
from hashlib import sha256

from cryptography.hazmat.primitives import hashes, serialization as form
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from trust import lp
from viworks.agent.v1.envelope_pb2 import Envelope
from viworks.agent.v1.sealing_pb2 import SealedContent

RAW = (form.Encoding.Raw, form.PublicFormat.Raw)
AGENT, SERVER = 1, 2
KEY_SECONDS, KEY_FRAMES, AGREEMENT_SECONDS = 120, 2 ** 20, 3600


def expand(ikm, salt, info):
    return HKDF(hashes.SHA256(), 32, salt, info.encode()).derive(ikm)


def agree(own, peer_key):
    return own.exchange(X25519PublicKey.from_public_bytes(peer_key))  # Raises for a key that is none.


class Lane:
    """One direction: its chain of keys, and the counter that goes on over all of them."""

    def __init__(self, direction, chain):
        self.direction, self.chain, self.generation = direction, chain, 0
        self.counter, self.frames, self.session = 0, 0, (b'', 0, 1)

    def bind(self, session_id, epoch):
        self.session = (session_id.encode(), epoch, 2)

    def step(self, shared=None):
        self.chain = (expand(shared, self.chain, 'viworks.seal.fresh.v1') if shared
                      else expand(self.chain, b'', 'viworks.seal.next.v1'))
        self.generation, self.frames = self.generation + 1, 0

    def next(self):
        """Cipher, nonce and additional data of the next frame."""
        self.counter, self.frames = self.counter + 1, self.frames + 1
        session_id, epoch, kind = self.session
        header = struct.pack('>QBBIQ', epoch, self.direction, kind, self.generation, self.counter)
        cipher = ChaCha20Poly1305(expand(self.chain, b'', 'viworks.seal.key.v1'))
        return cipher, struct.pack('>IQ', self.direction, self.counter), lp('viworks.sealed.v1', session_id, header)

    def seal(self, content):
        cipher, nonce, data = self.next()
        return cipher.encrypt(nonce, content, data)

    def open(self, sealed):
        cipher, nonce, data = self.next()
        if (sealed.counter, sealed.key_generation) != (self.counter, self.generation):
            raise ConnectionError('seal_broken')
        return cipher.decrypt(nonce, sealed.ciphertext, data)  # Raises InvalidTag.


class Seal:
    """The agent's end of a session: passes envelopes as they are until agree() is called, and seals them then."""

    def __init__(self):
        self.own, self.on = X25519PrivateKey.generate(), False
        self.public = self.own.public_key().public_bytes(*RAW)
        self.asked = self.fresh = None
        self.lock = threading.Lock()  # One thread reads, another one writes.

    def agree(self, peer_key, *said):
        """Takes all that was said in the handshake, as it was sent. Returns the confirmation for PROOF."""
        shared, salt = agree(self.own, peer_key), sha256(lp('viworks.handshake.transcript.v1', *said)).digest()
        self.outward = Lane(AGENT, expand(shared, salt, 'viworks.seal.agent.v1'))
        self.inward = Lane(SERVER, expand(shared, salt, 'viworks.seal.server.v1'))
        self.expected = expand(shared, salt, 'viworks.seal.confirm.server.v1')
        self.stepped = self.agreed = time.monotonic()
        self.own, self.on = None, True
        return expand(shared, salt, 'viworks.seal.confirm.agent.v1')

    def welcomed(self, answer):
        """From here on frames are those of the session. Returns the WELCOME that the answer to PROOF has to be."""
        if not answer.HasField('welcome'):
            raise ConnectionError(answer.error.code)
        welcome = answer.welcome
        if self.on and welcome.confirmation != self.expected:
            raise ConnectionError('the server does not have the agreed keys')
        if self.on:
            for lane in (self.outward, self.inward):
                lane.bind(welcome.session_id, welcome.epoch)
        return welcome

    def wrap(self, envelope):
        """What leaves in place of the envelope."""
        if not self.on or envelope.HasField('hello') or envelope.HasField('proof'):
            return envelope
        with self.lock:
            now, lane, content = time.monotonic(), self.outward, SealedContent(envelopes=[envelope])
            worn = now - self.stepped >= KEY_SECONDS or lane.frames >= KEY_FRAMES
            if worn and lane.frames and not self.asked:
                lane.step()
                self.stepped = now
            if now - self.agreed >= AGREEMENT_SECONDS and not self.asked:
                self.asked = X25519PrivateKey.generate()
                content.ephemeral_key = self.asked.public_key().public_bytes(*RAW)
            sealed = lane.seal(content.SerializeToString())
            return Envelope(sealed={
                'counter': lane.counter, 'key_generation': lane.generation, 'ciphertext': sealed})

    def unwrap(self, envelope):
        """The envelopes that came in this one."""
        refused = envelope.HasField('error') and self.on and not self.inward.counter
        if not self.on or refused:  # Whoever is refused has no session to seal.
            return [envelope]
        if not envelope.HasField('sealed'):
            raise ConnectionError('an open envelope in a sealed session')
        with self.lock:
            if envelope.sealed.key_generation == self.inward.generation + 1:
                self.inward.step(self.fresh)
                self.fresh = None
            content = SealedContent.FromString(self.inward.open(envelope.sealed))
            if content.ephemeral_key:
                self.fresh = agree(self.asked, content.ephemeral_key)
                self.outward.step(self.fresh)
                self.asked, self.stepped, self.agreed = None, time.monotonic(), time.monotonic()
            return content.envelopes
