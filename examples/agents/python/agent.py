"""An agent for ViWorkS in one file: enrols, proves its key, runs system.info. See docs/agents.md."""
import argparse, json, os, platform, queue, random, signal, socket, sqlite3, sys, threading, time
from pathlib import Path

import grpc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

sys.path.insert(0, os.environ.get('VIWORKS_STUBS', str(Path(__file__).parent / 'build')))
from viworks.agent.v1 import command_pb2 as orders, handshake_pb2 as wire
from viworks.agent.v1.agent_service_pb2 import EnrollRequest
from viworks.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from viworks.agent.v1.envelope_pb2 import Envelope
from trust import CommandTrust
from viworks.verbs.v1.system_pb2 import SystemInfoArgs, SystemInfoResult
from sealing import RAW, Seal, lp

PEM = (form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
HOST = {'hostname': socket.gethostname(), 'kernel': platform.release(), 'architecture': platform.machine()}
BOOT_ID = os.urandom(16)


def system_info(args):
    SystemInfoArgs.FromString(args)
    return SystemInfoResult(cpu_cores=os.cpu_count(), load_average=os.getloadavg(), os=platform.platform(),
                            agent_software='viworks-python-example/1', **HOST)


VERBS = {'system.info': system_info}  # Each takes milliseconds; longer work needs a thread and a time limit.


def dial(server, ca, certificate):
    if not ca:
        return grpc.insecure_channel(server)
    own = certificate.read_bytes() if certificate else None  # Key and certificate in one file.
    return grpc.secure_channel(server, grpc.ssl_channel_credentials(ca.read_bytes(), own, own))


class Agent:
    def __init__(self, connect, folder, agent_id, token):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_file, identity_file = folder / 'agent.key', folder / 'identity.json'
        if not key_file.exists():  # For the owner alone; it never leaves this folder.
            with open(os.open(key_file, os.O_WRONLY | os.O_CREAT, 0o600), 'wb') as file:
                file.write(Ed25519PrivateKey.generate().private_bytes(*PEM))
        self.key = form.load_pem_private_key(key_file.read_bytes(), None)
        if not identity_file.exists():
            public = self.key.public_key().public_bytes(*RAW)
            signed = self.key.sign(lp('viworks.enroll.v1', token.encode(), agent_id.encode(), public))
            with connect() as channel:
                told = AgentServiceStub(channel).Enroll(EnrollRequest(
                    token=token, agent_id=agent_id, public_key=public, signature=signed), timeout=30)
            me = {'agent_id': told.agent_id, 'incarnation': told.incarnation, 'key_id': told.key_id}
            known = {key.key_id: key.public_key.hex() for key in told.server_keys}
            identity_file.write_text(json.dumps([me, known]))
        self.me, self.server_keys = json.loads(identity_file.read_text())
        self.trust = CommandTrust(self.server_keys, folder / 'command-keys')
        # The ledger: every statement is on the disk before the next line runs, so nothing runs twice.
        self.ledger = sqlite3.connect(folder / 'ledger.db', isolation_level=None)
        self.ledger.execute('pragma synchronous = full')
        self.ledger.execute('create table if not exists executions (id text, attempt integer, result blob, '
                            'settled integer default 0, primary key (id, attempt))')
        self.ledger.execute('create table if not exists generation (key_id text primary key, epoch integer)')
        for key in self.rows('result is null'):  # Begun by a process that did not live to end it.
            self.conclude(key, orders.Result.OUTCOME_UNKNOWN, ('agent_restarted', 'ended while it ran'))

    def rows(self, condition, values=(), columns='id, attempt'):
        return self.ledger.execute(f'select {columns} from executions where {condition}', values).fetchall()

    def conclude(self, key, outcome, failure=('', ''), output=b''):
        result = orders.Result(execution_id=key[0], attempt=key[1], outcome=outcome, output=output,
                               output_encoding=orders.ARGS_ENCODING_PROTOBUF if output else 0)
        if failure[0]:
            result.failure.code, result.failure.message = failure
        self.ledger.execute('insert or replace into executions (id, attempt, result) values (?, ?, ?)',
                            (*key, result.SerializeToString()))

    def send(self, numbered=True, **body):
        self.sent += numbered
        self.outgoing.put(Envelope(sequence=self.sent * numbered, acknowledged=self.handled, **body))

    def report(self, key):
        (data,), = self.rows('id = ? and attempt = ?', key, 'result')
        self.send(result=orders.Result.FromString(data))
        self.waiting[self.sent] = key

    def session(self, stub):
        """Runs until the server ends it. Returns the seconds that it asked to wait."""
        self.outgoing, self.sent, self.handled, self.waiting = queue.SimpleQueue(), 0, 0, {}
        self.seal, over = Seal(), threading.Event()
        call = stub.Open(map(self.seal.wrap, iter(self.outgoing.get, None)))
        try:
            welcome = self.shake_hands(call)
            beat, stored = welcome.limits.heartbeat_interval.ToMilliseconds() / 1000, {'generation': welcome.epoch}
            # On the disk before it is said: with an older one this agent would be taken for a copy of itself.
            self.ledger.execute('insert or replace into generation values (?, ?)',
                                (self.me['key_id'], welcome.epoch))
            self.send(False, heartbeat=stored)
            threading.Thread(target=lambda: [self.send(False, heartbeat=stored)
                                             for _ in iter(lambda: over.wait(beat), True)], daemon=True).start()
            for key in self.rows('not settled'):
                self.report(key)
            for envelope in (inner for outer in call for inner in self.seal.unwrap(outer)):
                for sequence in [n for n in self.waiting if n <= envelope.acknowledged]:
                    self.ledger.execute('update executions set settled = 1 where id = ? and attempt = ?',
                                        self.waiting.pop(sequence))
                kind = envelope.WhichOneof('body')
                if kind == 'command_keys':
                    self.trust.accept(envelope.command_keys)
                elif kind == 'command' and (why := self.trust.problem(envelope.command)):
                    print('refuses a command:', why)
                    self.send(error={'code': 'signature_invalid', 'message': why, 'sequence': envelope.sequence})
                elif kind == 'command':
                    self.run(orders.CommandBody.FromString(envelope.command.body))
                elif kind == 'cancel':  # Whatever ran has ended already; what did not come will not run.
                    key = (envelope.cancel.execution_id, envelope.cancel.attempt)
                    if not self.rows('id = ? and attempt = ?', key):
                        self.conclude(key, orders.Result.OUTCOME_CANCELLED, ('not_started', 'it never came'))
                    self.report(key)
                elif kind == 'drain':
                    raise ConnectionError(f'drain: {envelope.drain.reason}', envelope.drain.reconnect_after)
                if envelope.sequence:
                    self.handled = envelope.sequence
                    self.send(False)
        finally:
            over.set(), self.outgoing.put(None), call.cancel()

    def shake_hands(self, call):
        account = [wire.ExecutionAccount(execution_id=name, attempt=attempt, phase='PHASE_FINISHED')
                   for name, attempt in self.rows('not settled')]
        known = self.ledger.execute('select epoch from generation where key_id = ?', (self.me['key_id'],)).fetchall()
        offer = wire.HelloOffer(
            **self.me, generation=known[0][0] if known else 0, boot_id=BOOT_ID, protocol_versions=[1], host=HOST,
            capabilities=['system'], execution_credit=1, executions=account,
            ephemeral_key=self.seal.public).SerializeToString()
        self.send(False, hello={'offer': offer})
        said = next(call).challenge
        server_key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.server_keys[said.key_id]))
        server_key.verify(said.signature, lp('viworks.handshake.challenge.v1', offer, said.terms))
        stated = wire.ProofStatement(agent_time={'seconds': int(time.time())}).SerializeToString()
        transcript = offer, said.terms, said.signature, stated
        signature = self.key.sign(lp('viworks.handshake.proof.v1', *transcript))
        peer_key = wire.ChallengeTerms.FromString(said.terms).ephemeral_key
        confirmation = self.seal.agree(peer_key, *transcript, signature) if peer_key else b''
        self.send(False, proof={'statement': stated, 'signature': signature, 'confirmation': confirmation})
        welcome = self.seal.welcomed(*self.seal.unwrap(next(call)))
        if welcome.HasField('signed_command_keys'):  # Without, it runs nothing.
            self.trust.accept(welcome.signed_command_keys)
        print(f'online epoch={welcome.epoch} session={welcome.session_id} sealed={self.seal.on}')
        return welcome

    def run(self, body):
        key = (body.execution_id, body.attempt)
        mine = (body.agent_id, body.incarnation) == (self.me['agent_id'], self.me['incarnation'])
        if self.rows('id = ? and attempt = ?', key):
            print('answers from the ledger:', key[0])
        elif not mine or body.verb not in VERBS or body.expires_at.ToMilliseconds() / 1000 < time.time():
            self.conclude(key, orders.Result.OUTCOME_REJECTED, ('refused', f'not to be run here: {body.verb}'))
        else:
            self.ledger.execute('insert into executions (id, attempt) values (?, ?)', key)
            self.send(command_update={'execution_id': key[0], 'attempt': key[1], 'running': {}})
            print(f'runs {body.verb}:', key[0])
            try:
                self.conclude(key, orders.Result.OUTCOME_SUCCEEDED,
                              output=VERBS[body.verb](body.args).SerializeToString())
            except Exception as error:  # Whatever it is: the one who asked is told, and the agent lives on.
                self.conclude(key, orders.Result.OUTCOME_FAILED, ('internal', str(error)[:4096]))
        self.report(key)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--server', default='127.0.0.1:8081', help='host:port of the agent listener')
    parser.add_argument('--ca', type=Path, help='PEM of who vouches for the server: connect with TLS')
    parser.add_argument('--certificate', type=Path, help='PEM of a key and a certificate to show it')
    parser.add_argument('--dir', type=Path, default=Path('state'), help='keeps identity and ledger')
    parser.add_argument('--id', default=HOST['hostname'].lower(), help='the agent id to ask for')
    parser.add_argument('--token', default='', help='the enrolment token, for the first start')
    given = parser.parse_args()
    connect = lambda: dial(given.server, given.ca, given.certificate)
    agent = Agent(connect, given.dir, given.id, given.token)
    while True:
        wait = random.uniform(0, 10)  # So that many agents do not come back at once.
        try:
            with connect() as channel:
                agent.session(AgentServiceStub(channel))
        except (grpc.RpcError, ConnectionError, KeyError, StopIteration, InvalidTag) as error:
            print('offline:', getattr(error, 'details', lambda: error.args[0] if error.args else error)())
            if isinstance(error, ConnectionError) and len(error.args) > 1:
                wait = error.args[1].ToMilliseconds() / 1000
        time.sleep(wait)


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main()
