"""What this agent is able to do: for each verb a function from its serialised args to its result."""
import os, platform, socket

from google.protobuf.message import DecodeError
from viworks.agent.v1.command_pb2 import Result
from viworks.verbs.v1.system_pb2 import SystemInfoArgs, SystemInfoResult

SOFTWARE = 'viworks-python-example/1'
HOST = {'hostname': socket.gethostname(), 'kernel': platform.release(), 'architecture': platform.machine()}


def system_info(args):
    SystemInfoArgs.FromString(args)
    memory = {line.split(':')[0]: int(line.split()[1]) * 1024 for line in open('/proc/meminfo')}
    return SystemInfoResult(
        os=platform.platform(), cpu_cores=os.cpu_count(), memory_total_bytes=memory['MemTotal'],
        memory_available_bytes=memory['MemAvailable'], load_average=os.getloadavg(), agent_software=SOFTWARE, **HOST)


# This one takes milliseconds. One that takes longer needs a thread, its time limit, and a way to be cancelled.
VERBS = {'system.info': system_info}


def run(verb, args):
    """The outcome, why it failed, and the serialised result."""
    try:
        return Result.OUTCOME_SUCCEEDED, None, VERBS[verb](args).SerializeToString()
    except DecodeError:
        return Result.OUTCOME_REJECTED, ('invalid_args', f'these are no args of {verb}'), b''
    except Exception as error:  # Whatever it is: the one who asked is told, and the agent lives on.
        return Result.OUTCOME_FAILED, ('internal', str(error)[:4096]), b''
