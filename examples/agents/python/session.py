"""One session with the server: the handshake, then commands and heartbeats until it ends. See docs/agents.md."""
import logging, os, queue, threading, time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from protocol import Ended, lp, message_id
from verbs import HOST, SOFTWARE, VERBS, run
from viworks.agent.v1 import handshake_pb2 as wire
from viworks.agent.v1.command_pb2 import CommandBody, Result
from viworks.agent.v1.envelope_pb2 import Envelope

VERSION, BOOT_ID, log = 1, os.urandom(16), logging.getLogger('agent')


class Session:
    def __init__(self, stub, identity, ledger):
        (self.key, self.me, self.server_keys), self.ledger, self.welcome = identity, ledger, None
        self.sent, self.handled, self.unanswered, self.waiting = 0, 0, 0, {}
        self.outgoing, self.over = queue.SimpleQueue(), threading.Event()
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
        self.sent += 1 if numbered else 0
        sequence = self.sent if numbered else 0
        envelope = Envelope(message_id=message_id(), sequence=sequence, acknowledged=self.handled, **body)
        envelope.sent_at.GetCurrentTime()
        self.outgoing.put(envelope)

    def expect(self, kind):
        envelope = next(self.call, Envelope())
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
            **self.me, boot_id=BOOT_ID, protocol_versions=[VERSION], transports=['TRANSPORT_CONNECT'], host=HOST,
            capabilities=['system'], software=SOFTWARE, execution_credit=1, executions=account).SerializeToString()
        self.send(False, hello=wire.Hello(offer=offer))
        challenge = self.expect('challenge')
        server_key = Ed25519PublicKey.from_public_bytes(self.server_keys[challenge.key_id])
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
            self.outgoing.put(Envelope(message_id=message_id(), acknowledged=self.handled, heartbeat={}))

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
        refusal = self.refusal(body)
        if self.ledger.find(key):
            log.info('answers from the ledger: %s', key[0])
        elif refusal:
            self.ledger.end(key, Result.OUTCOME_REJECTED, refusal)
        else:
            self.ledger.begin(key, self.welcome.epoch)
            self.send(command_update={'execution_id': key[0], 'attempt': key[1], 'accepted': {}})
            self.send(command_update={'execution_id': key[0], 'attempt': key[1], 'running': {}})
            log.info('runs %s: %s', body.verb, key[0])
            self.ledger.end(key, *run(body.verb, body.args))
        self.result(key)

    def refusal(self, body):
        if (body.agent_id, body.incarnation) != (self.me['agent_id'], self.me['incarnation']):
            return 'wrong_audience', 'it is for another agent, or for another enrolment of this one'
        if body.HasField('expires_at') and body.expires_at.ToMilliseconds() / 1000 <= time.time() + self.clock_offset:
            return 'expired', 'it came too late'
        return None if body.verb in VERBS else ('verb_unknown', f'there is no verb {body.verb} here')

    def on_cancel(self, cancel):
        key = (cancel.execution_id, cancel.attempt)
        if not self.ledger.find(key):
            self.ledger.end(key, Result.OUTCOME_CANCELLED, ('not_started', 'it was cancelled before it came'))
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
