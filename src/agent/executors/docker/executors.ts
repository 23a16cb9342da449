import type { Executor } from '../executor.ts';
import { composeExecutors } from './compose.ts';
import { dockerBuildExecutor, dockerPullExecutor } from './image.ts';
import { dockerInspectExecutor } from './inspect.ts';
import type { DockerDeps } from './program.ts';
import { dockerPsExecutor } from './ps.ts';
import { dockerExecExecutor, dockerLogsExecutor, dockerRunExecutor } from './run.ts';
import { dockerStatsExecutor } from './stats.ts';
import { dockerRmExecutor, dockerStopExecutor } from './stop.ts';

/** Every verb of the docker command. @param compose whether its plug-in for compose is there */
export function dockerExecutors(deps: DockerDeps, compose: boolean): Executor[] {
  return [
    dockerPsExecutor(deps.path),
    dockerInspectExecutor(deps),
    dockerLogsExecutor(deps),
    dockerStatsExecutor(deps),
    dockerExecExecutor(deps),
    dockerRunExecutor(deps),
    dockerStopExecutor(deps),
    dockerRmExecutor(deps),
    dockerPullExecutor(deps),
    dockerBuildExecutor(deps),
    ...(compose ? composeExecutors(deps) : []),
  ];
}
