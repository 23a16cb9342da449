"""An agent for ViWorkS: enrols once, then keeps a session open. docs/agents.md explains each step."""
import argparse, logging, os, signal, sys, time
from pathlib import Path

import grpc
from cryptography.exceptions import InvalidSignature
from google.protobuf.message import DecodeError

sys.path.insert(0, os.environ.get('VIWORKS_STUBS', str(Path(__file__).parent / 'build')))
from identity import load_identity
from ledger import Ledger
from protocol import Ended, wait_of
from session import Session
from verbs import HOST
from viworks.agent.v1.agent_service_pb2_grpc import AgentServiceStub

log = logging.getLogger('agent')


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--server', default='127.0.0.1:8081', help='host:port of the agent listener')
    parser.add_argument('--ca', type=Path, help='PEM file of the authority that vouches for the server: use TLS')
    parser.add_argument('--dir', type=Path, default=Path('state'), help='where identity and ledger are kept')
    parser.add_argument('--id', default=HOST['hostname'].lower(), help='the agent id to ask for at enrolment')
    parser.add_argument('--token', default='', help='the enrolment token, for the first start')
    return parser.parse_args()


def main(given):
    def channel():
        if given.ca is None:
            return grpc.insecure_channel(given.server)
        return grpc.secure_channel(given.server, grpc.ssl_channel_credentials(given.ca.read_bytes()))

    with channel() as opened:
        identity = load_identity(given.dir, AgentServiceStub(opened), given.token, given.id)
    ledger, limits, failures = Ledger(given.dir / 'ledger.db'), None, 0
    while True:
        with channel() as opened:  # A new one each time: a channel that failed waits by rules of its own.
            session = Session(AgentServiceStub(opened), identity, ledger)
            try:
                session.run()
                ended = Ended('the server closed the stream')
            except Ended as error:
                ended = error
            except grpc.RpcError as error:
                ended = Ended(f'{error.code().name}: {error.details()}')
            except (InvalidSignature, KeyError):
                ended = Ended('the server did not prove that it is the one of the enrolment', retryable=False)
            except DecodeError:
                ended = Ended('the server sent what cannot be read', retryable=False)
        limits = session.welcome.limits if session.welcome else limits
        failures = 0 if session.welcome else failures + 1
        wait = wait_of(ended, failures, limits)
        log.info('offline: %s; again in %.1f s', ended, wait)
        time.sleep(wait)


if __name__ == '__main__':
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(asctime)s %(message)s')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        main(options())
    except KeyboardInterrupt:
        pass
    except grpc.RpcError as error:
        sys.exit(f'enrolment failed: {error.code().name}: {error.details()}')
