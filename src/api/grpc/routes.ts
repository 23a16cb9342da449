import type { ConnectRouter } from '@connectrpc/connect';
import { file_google_rpc_error_details } from '#gen/google/rpc/error_details_pb.js';
import { Health } from '#gen/grpc/health/v1/health_pb.js';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { verbFiles } from '../../protocol/verbs.ts';
import { type ControlDeps, controlRoutes } from './control.ts';
import { type HealthSource, healthRoutes } from './health.ts';
import { reflectionRoutes } from './reflection.ts';

/** All gRPC services of the API listener. Reflection also describes verbs and the details of errors. */
export function apiRoutes(
  deps: ControlDeps & { healthSource: HealthSource },
): (router: ConnectRouter) => void {
  const routes = [
    controlRoutes(deps),
    healthRoutes(deps.healthSource),
    reflectionRoutes([ControlService, Health], [...verbFiles, file_google_rpc_error_details], deps.limits),
  ];
  return (router) => {
    for (const register of routes) register(router);
  };
}
