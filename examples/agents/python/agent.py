"""A whole agent: enrolment, handshake, commands, ledger, reconnect. docs/agents.md explains every step."""
import argparse, json, logging, os, platform, random, signal, socket, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

sys.path.insert(0, os.environ.get('VIWORKS_STUBS', str(Path(__file__).parent / 'build')))
import grpc
from cryptography.exceptions import InvalidSignature
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from viworks.agent.v1 import agent_service_pb2_grpc, command_pb2, envelope_pb2, flow_pb2, handshake_pb2
from viworks.verbs.v1 import system_pb2
from identity import enroll, lp, public_key, load, new_message_id
from ledger import Ledger

Result, Account, log = command_pb2.Result, handshake_pb2.ExecutionAccount, logging.getLogger('agent')
CREDIT, VERSION, BOOT_ID = 4, 1, os.urandom(16)


class Ended(Exception):
    """The session is over; `wait` is what the server asked for, None leaves it to the back-off."""
    def __init__(self, why, wait=None, retryable=True):
        super().__init__(why)
        self.wait, self.retryable = wait, retryable


def stamp(seconds=None):
    return Timestamp(seconds=int(seconds or time.time()), nanos=int((seconds or time.time()) % 1 * 1e9))


def system_info(args):
    memory = {line.split(':')[0]: int(line.split()[1]) * 1024 for line in open('/proc/meminfo')}
    info = system_pb2.SystemInfoResult(
        hostname=socket.gethostname(), os=platform.freedesktop_os_release()['PRETTY_NAME'],
        kernel=platform.release(), architecture=platform.machine(), cpu_cores=os.cpu_count(),
        memory_total_bytes=memory['MemTotal'], memory_available_bytes=memory['MemAvailable'],
        load_average=os.getloadavg(), agent_software='viworks-python-example/1')
    info.uptime.FromSeconds(int(float(open('/proc/uptime').read().split()[0])))
    return info


VERBS = {'system.info': (system_pb2.SystemInfoArgs, system_info)}


class Agent:
    def __init__(self, me, ledger):
        self.me, self.ledger, self.lock = me, ledger, threading.RLock()
        self.pool, self.running, self.cancelled = ThreadPoolExecutor(CREDIT), set(), set()
        self.session, self.base, self.maximum, self.failures = None, 1.0, 60.0, 0
        for key in ledger.unfinished():  # It was begun, and the end of the process hides how it ended.
            self.record(key, Result.OUTCOME_UNKNOWN, 'agent_restarted', 'the agent ended while it ran')

    def record(self, key, outcome, code='', message='', output=b'', started=None):
        result = Result(execution_id=key[0], attempt=key[1], outcome=outcome, finished_at=stamp())
        if started: result.started_at.CopyFrom(stamp(started))
        if code: result.failure.code, result.failure.message = code, message
        else: result.output, result.output_encoding = output, command_pb2.ARGS_ENCODING_PROTOBUF
        with self.lock:
            self.ledger.finished(key, result.SerializeToString())
            self.running.discard(key)
            if self.session: self.session.result(key)

    def on_command(self, command):
        """Returns when the order may be acknowledged: what is to run is in the ledger by then."""
        if self.session.command_keys and not any(self.verifies(command, s) for s in command.signatures):
            raise ValueError('permission_denied', 'no valid signature by a command key')
        body = command_pb2.CommandBody.FromString(command.body)
        key, entry = (body.execution_id, body.attempt), self.ledger.find((body.execution_id, body.attempt))
        if key in self.running: return self.session.update(key, accepted={})
        if entry:
            log.info('answered from the ledger %s', key[0])
            return self.session.result(key)
        refusal = self.refusal(body)
        if refusal: return self.record(key, Result.OUTCOME_REJECTED, *refusal)
        self.ledger.started(key, self.session.epoch)
        self.running.add(key)
        self.session.update(key, accepted={})
        self.pool.submit(self.execute, key, body)

    def verifies(self, command, signature):
        key = self.session.command_keys.get(signature.key_id)
        try: return key is not None and key.verify(signature.value, lp('viworks.command.v1', command.body)) is None
        except InvalidSignature: return False

    def refusal(self, body):
        now = time.time() + self.session.clock_offset
        if (body.agent_id, body.incarnation) != (self.me.agent_id, self.me.incarnation):
            return 'wrong_audience', 'the command is for another agent or another enrolment'
        if body.HasField('expires_at') and body.expires_at.ToDatetime().timestamp() <= now:
            return 'expired', 'the command came too late'
        if body.verb not in VERBS: return 'verb_unknown', f'there is no verb {body.verb} here'
        if len(self.running) >= CREDIT: return 'resource_exhausted', f'the agent holds {CREDIT} already'
        try: VERBS[body.verb][0].FromString(body.args)
        except DecodeError: return 'invalid_args', f'the args are no {VERBS[body.verb][0].DESCRIPTOR.full_name}'

    def execute(self, key, body):
        started = time.time()
        if key in self.cancelled: return self.record(key, Result.OUTCOME_CANCELLED, 'cancelled', 'before it began')
        with self.lock:
            if self.session: self.session.update(key, running={'started_at': stamp(started)})
        log.info('runs %s %s', body.verb, key[0])
        try:
            parse, run = VERBS[body.verb]
            output = run(parse.FromString(body.args)).SerializeToString()
            self.record(key, Result.OUTCOME_SUCCEEDED, output=output, started=started)
        except Exception as error:
            self.record(key, Result.OUTCOME_FAILED, 'internal', str(error)[:4096], started=started)

    def on_cancel(self, cancel):
        key = (cancel.execution_id, cancel.attempt)
        if key in self.running: self.cancelled.add(key)
        elif self.ledger.find(key): self.session.result(key)
        else: self.record(key, Result.OUTCOME_CANCELLED, 'not_started', 'cancelled before it came')
