"""The ledger: what was begun and how it ended, a synced line for each step. It is why nothing runs twice."""
import json, os, time

from viworks.agent.v1.command_pb2 import ARGS_ENCODING_PROTOBUF, Result

KEEP_SETTLED = 30 * 86400  # Seconds for which a repeated order is still answered; longer than commands live.


class Ledger:
    def __init__(self, path):
        self.entries = {}  # (execution, attempt) → [serialised RESULT or None while it runs, acknowledged?, time]
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                self.apply(*json.loads(line))
            except (ValueError, TypeError):
                pass  # Torn by a crash before it was synced: nothing was done on its strength.
        self.file = open(path.with_suffix('.new'), 'w')
        for key, (result, settled, at) in list(self.entries.items()):  # Begins anew, without what is long over.
            if settled and at < time.time() - KEEP_SETTLED:
                del self.entries[key]
                continue
            self.append('started', *key, at, '')
            if result is not None:
                self.append('finished', *key, at, result.hex())
            if settled:
                self.append('settled', *key, at, '')
        self.sync()
        os.replace(self.file.name, path)
        for key in self.unsettled():
            if self.find(key) is None:
                self.end(key, Result.OUTCOME_UNKNOWN, ('agent_restarted', 'the agent ended while it ran'))

    def apply(self, phase, execution_id, attempt, at, detail):
        entry = self.entries.setdefault((execution_id, attempt), [None, False, at])
        if phase == 'finished':
            entry[0] = bytes.fromhex(detail)
        entry[1] = phase == 'settled'

    def append(self, *line):
        self.file.write(json.dumps(line) + '\n')

    def sync(self):
        self.file.flush()
        os.fsync(self.file.fileno())

    def write(self, phase, key, detail=''):
        """Returns when it is on the disk. The detail of 'started' is the epoch, that of 'finished' the RESULT."""
        line = (phase, *key, time.time(), detail)
        self.append(*line)
        self.sync()
        self.apply(*line)

    def end(self, key, outcome, failure=None, output=b''):
        """Writes down the RESULT."""
        result = Result(execution_id=key[0], attempt=key[1], outcome=outcome, output=output)
        result.finished_at.GetCurrentTime()
        if output:
            result.output_encoding = ARGS_ENCODING_PROTOBUF
        if failure:
            result.failure.code, result.failure.message = failure
        self.write('finished', key, result.SerializeToString().hex())

    def find(self, key):
        """The serialised RESULT; None where there is none."""
        return self.entries[key][0] if key in self.entries else None

    def unsettled(self):
        """What has no acknowledged RESULT, oldest first."""
        return [key for key, (_, settled, _) in self.entries.items() if not settled]
