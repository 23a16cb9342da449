"""An agent for ViWorkS: handshake, commands, heartbeats, reconnection. docs/agents.md explains each step."""
import argparse, logging, os, queue, random, signal, sys, threading, time
from pathlib import Path

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

sys.path.insert(0, os.environ.get('VIWORKS_STUBS', str(Path(__file__).parent / 'build')))
from identity import load_identity
from ledger import Ledger
from protocol import Ended, lp, message_id
from verbs import HOST, SOFTWARE, VERBS
from viworks.agent.v1 import agent_service_pb2_grpc, handshake_pb2 as wire
from viworks.agent.v1.command_pb2 import CommandBody, Result
from viworks.agent.v1.envelope_pb2 import Envelope

VERSION, BOOT_ID, log = 1, os.urandom(16), logging.getLogger('agent')


class Session:
    def __init__(self, stub, identity, ledger):
        (self.key, self.me), self.ledger, self.outgoing = identity, ledger, queue.SimpleQueue()
        self.sent, self.handled, self.unanswered, self.waiting, self.over = 0, 0, 0, {}, threading.Event()
        self.call = stub.Open(iter(self.outgoing.get, None))

    def run(self):
        deadline = threading.Timer(10, self.call.cancel)
        deadline.start()
        try:
            self.shake_hands()
            deadline.cancel()
            threading.Thread(target=self.beat, daemon=True).start()
            for key in self.ledger.unsettled():
                self.result(key)
            for envelope in self.call:
                self.receive(envelope)
        finally:
            deadline.cancel()
            self.over.set()
            self.outgoing.put(None)
            self.call.cancel()

    def send(self, numbered=True, **body):
        if numbered:
            self.sent += 1
        sequence = self.sent if numbered else 0
        envelope = Envelope(message_id=message_id(), sequence=sequence, acknowledged=self.handled, **body)
        envelope.sent_at.GetCurrentTime()
        self.outgoing.put(envelope)

    def expect(self, kind):
        envelope = next(self.call)
        if envelope.HasField('error'):
            self.on_error(envelope.error)
        if not envelope.HasField(kind):
            raise Ended(f'{kind} was expected')
        return getattr(envelope, kind)

    def shake_hands(self):
        # All that is in the ledger has ended: this agent runs nothing on between sessions.
        account = [wire.ExecutionAccount(execution_id=execution, attempt=attempt, phase='PHASE_FINISHED')
                   for execution, attempt in self.ledger.unsettled()]
        offer = wire.HelloOffer(
            agent_id=self.me['agent_id'], key_id=self.me['key_id'], incarnation=self.me['incarnation'],
            boot_id=BOOT_ID, protocol_versions=[VERSION], transports=['TRANSPORT_CONNECT'], capabilities=['system'],
            host=HOST, software=SOFTWARE, execution_credit=1, executions=account).SerializeToString()
        self.send(False, hello=wire.Hello(offer=offer))
        challenge = self.expect('challenge')
        server_key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.me['server_keys'][challenge.key_id]))
        server_key.verify(challenge.signature, lp('viworks.handshake.challenge.v1', offer, challenge.terms))
        terms, statement = wire.ChallengeTerms.FromString(challenge.terms), wire.ProofStatement()
        if terms.protocol_version != VERSION:
            raise Ended('the server chose a version that was not offered', retryable=False)
        self.clock_offset = terms.server_time.ToMilliseconds() / 1000 - time.time()
        statement.agent_time.GetCurrentTime()
        said = statement.SerializeToString()
        signed = lp('viworks.handshake.proof.v1', offer, challenge.terms, challenge.signature, said)
        self.send(False, proof=wire.Proof(statement=said, signature=self.key.sign(signed)))
        self.welcome = self.expect('welcome')
        if self.welcome.command_keys:
            raise Ended('this example does not verify signed commands', retryable=False)
        log.info('online epoch=%d session=%s', self.welcome.epoch, self.welcome.session_id)

    def beat(self):
        while not self.over.wait(self.welcome.limits.heartbeat_interval.ToMilliseconds() / 1000):
            if self.unanswered >= 3:
                return self.call.cancel()
            self.unanswered += 1
            self.send(False, heartbeat={})

    def receive(self, envelope):
        self.unanswered = 0
        for sequence in [sequence for sequence in self.waiting if sequence <= envelope.acknowledged]:
            self.ledger.settle(self.waiting.pop(sequence))
        if envelope.sequence not in (0, self.handled + 1):
            raise Ended('the server left a gap')
        kind = envelope.WhichOneof('body')
        handle = getattr(self, f'on_{kind}', None)  # What is not known here is acknowledged and passed over.
        if handle:
            handle(getattr(envelope, kind))
        if envelope.sequence:
            self.handled = envelope.sequence
            self.outgoing.put(Envelope(acknowledged=self.handled))

    def on_command(self, command):
        body = CommandBody.FromString(command.body)
        key = (body.execution_id, body.attempt)
        if self.ledger.find(key) is not None:
            log.info('answered from the ledger: %s', body.execution_id)
            return self.result(key)
        refusal = self.refusal(body)
        if refusal:
            return self.end(key, Result.OUTCOME_REJECTED, refusal)
        self.ledger.begin(key, self.welcome.epoch)
        self.send(command_update={'execution_id': key[0], 'attempt': key[1], 'accepted': {}})
        self.send(command_update={'execution_id': key[0], 'attempt': key[1], 'running': {}})
        log.info('runs %s: %s', body.verb, body.execution_id)
        args, run = VERBS[body.verb]
        try:
            self.end(key, Result.OUTCOME_SUCCEEDED, output=run(args.FromString(body.args)).SerializeToString())
        except (OSError, LookupError, ValueError) as error:
            self.end(key, Result.OUTCOME_FAILED, ('internal', str(error)[:4096]))

    def refusal(self, body):
        if (body.agent_id, body.incarnation) != (self.me['agent_id'], self.me['incarnation']):
            return 'wrong_audience', 'it is for another agent, or for another enrolment of this one'
        if body.HasField('expires_at') and body.expires_at.ToMilliseconds() / 1000 <= time.time() + self.clock_offset:
            return 'expired', 'it came too late'
        return None if body.verb in VERBS else ('verb_unknown', f'there is no verb {body.verb} here')

    def on_cancel(self, cancel):
        key = (cancel.execution_id, cancel.attempt)
        if self.ledger.find(key) is not None:
            return self.result(key)
        self.end(key, Result.OUTCOME_CANCELLED, ('not_started', 'it was cancelled before it came'))

    def end(self, key, *how, **facts):
        self.ledger.end(key, *how, **facts)
        self.result(key)

    def result(self, key):
        self.send(result=Result.FromString(self.ledger.find(key)))
        self.waiting[self.sent] = key

    def on_drain(self, drain):
        raise Ended(f'drain: {drain.reason}', drain.reconnect_after.ToMilliseconds() / 1000)

    def on_error(self, error):
        log.warning('the server says %s: %s', error.code, error.message)
        if error.fatal:
            raise Ended(error.code, error.retry_after.ToMilliseconds() / 1000 or None, error.retryable)


def wait_of(error, failures, base, maximum):
    """Full jitter; at the slowest pace where repeating is unlikely to help."""
    if isinstance(error, Ended) and error.wait is not None:
        return error.wait
    if isinstance(error, Ended) and not error.retryable:
        return maximum * random.uniform(0.5, 1)
    return random.uniform(0, min(maximum, base * 2**min(failures, 30)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--server', default='127.0.0.1:8081', help='host:port of the agent listener')
    parser.add_argument('--ca', type=Path, help='PEM of the authority that vouches for the server: use TLS')
    parser.add_argument('--dir', type=Path, default=Path('state'), help='where identity and ledger are kept')
    parser.add_argument('--id', default=HOST['hostname'].lower(), help='the agent id to ask for')
    parser.add_argument('--token', default='', help='the enrolment token, for the first start')
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(asctime)s %(message)s')
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tls = options.ca and grpc.ssl_channel_credentials(options.ca.read_bytes())
    base, maximum, failures = 1, 60, 0
    while True:
        # A channel for each session: the one of a failed connection has a back-off of its own.
        with grpc.secure_channel(options.server, tls) if tls else grpc.insecure_channel(options.server) as channel:
            ...
