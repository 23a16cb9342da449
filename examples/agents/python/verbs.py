"""What this agent is able to do: for each verb its args and a function from them to its result."""
import os, platform, socket

from viworks.verbs.v1.system_pb2 import SystemInfoArgs, SystemInfoResult

SOFTWARE = 'viworks-python-example/1'
HOST = {'hostname': socket.gethostname(), 'kernel': platform.release(), 'architecture': platform.machine()}


def system_info(_args):
    memory = {line.split(':')[0]: int(line.split()[1]) * 1024 for line in open('/proc/meminfo')}
    return SystemInfoResult(
        os=platform.platform(), cpu_cores=os.cpu_count(), memory_total_bytes=memory['MemTotal'],
        memory_available_bytes=memory['MemAvailable'], load_average=os.getloadavg(), agent_software=SOFTWARE, **HOST)


# This one takes milliseconds. One that takes longer needs a thread, its time limit, and a way to be cancelled.
VERBS = {'system.info': (SystemInfoArgs, system_info)}
