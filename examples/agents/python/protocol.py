"""The small parts of the protocol: what is signed, key ids, message ids, and how a session ends."""
import random, time
from hashlib import sha256


def lp(domain, *parts):
    """What is signed: each part with its length in front, as four bytes big endian."""
    return b''.join(len(part).to_bytes(4, 'big') + part for part in (domain.encode(), *parts))


def key_id(public):
    return sha256(public).hexdigest()[:32]


def message_id():
    """UUIDv7: 48 bits of milliseconds, the version, 12 random bits, the variant, 62 random bits."""
    head = (time.time_ns() // 10**6 << 16 | 7 << 12 | random.getrandbits(12)) << 64
    return (head | 2 << 62 | random.getrandbits(62)).to_bytes(16, 'big')


class Ended(Exception):
    """The session is over. `wait`: seconds the server asked for. Not `retryable`: unlikely to help, so be slow."""
    def __init__(self, why, wait=None, retryable=True):
        super().__init__(why)
        self.wait, self.retryable = wait, retryable


def wait_of(ended, failures, limits):
    """Seconds until the next attempt: full jitter, and the slowest pace where repeating is unlikely to help."""
    base = limits.reconnect_base.ToMilliseconds() / 1000 if limits else 1
    maximum = limits.reconnect_maximum.ToMilliseconds() / 1000 if limits else 60
    if ended.wait is not None:
        return ended.wait
    if not ended.retryable:
        return maximum * random.uniform(0.5, 1)
    return random.uniform(0, min(maximum, base * 2**min(failures, 30)))
