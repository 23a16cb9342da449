"""The ledger: what was begun and how it ended, on the disk before it counts. It is why nothing runs twice."""
import sqlite3, time

from viworks.agent.v1.command_pb2 import ARGS_ENCODING_PROTOBUF, Result

KEEP_SETTLED = 30 * 86400  # Seconds for which a repeated order is still answered; longer than commands live.


class Ledger:
    def __init__(self, path):
        # Each statement is a transaction of its own, and synced: so it is with `synchronous = full`.
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute('pragma synchronous = full')
        self.db.execute('create table if not exists executions (execution text, attempt integer, epoch integer, '
                        'at real, result blob, settled integer default 0, primary key (execution, attempt))')
        self.db.execute('delete from executions where settled and at < ?', (time.time() - KEEP_SETTLED,))
        for key in self.unsettled():
            if self.find(key) is None:
                self.end(key, Result.OUTCOME_UNKNOWN, ('agent_restarted', 'the agent ended while it ran'))

    def begin(self, key, epoch):
        self.db.execute('insert into executions (execution, attempt, epoch, at) values (?, ?, ?, ?)',
                        (*key, epoch, time.time()))

    def end(self, key, outcome, failure=None, output=b''):
        """Writes down the RESULT, also of what never began."""
        result = Result(execution_id=key[0], attempt=key[1], outcome=outcome, output=output)
        result.finished_at.GetCurrentTime()
        if output:
            result.output_encoding = ARGS_ENCODING_PROTOBUF
        if failure:
            result.failure.code, result.failure.message = failure
        self.db.execute('insert into executions (execution, attempt, at, result) values (?, ?, ?, ?) '
                        'on conflict do update set result = excluded.result',
                        (*key, time.time(), result.SerializeToString()))

    def settle(self, key):
        """The RESULT was acknowledged."""
        self.db.execute('update executions set settled = 1 where execution = ? and attempt = ?', key)

    def find(self, key):
        """The serialised RESULT; None where there is none."""
        row = self.db.execute('select result from executions where execution = ? and attempt = ?', key).fetchone()
        return row and row[0]

    def unsettled(self):
        """What has no acknowledged RESULT, oldest first."""
        return self.db.execute('select execution, attempt from executions where not settled order by at').fetchall()
