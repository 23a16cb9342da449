import type { ConnectRouter } from '@connectrpc/connect';
import { Health, HealthCheckResponse_ServingStatus as Status } from '#gen/grpc/health/v1/health_pb.js';
import { wireLimits } from '../../protocol/limits.ts';
import { endpointUnknown } from '../errors.ts';
import { toConnectError } from './errors.ts';

export type ServingStatus = 'serving' | 'not_serving';

/** What the health service asks. The empty name stands for the whole server. */
export interface HealthSource {
  services: readonly string[];
  /** Undefined for a service that is not served here. */
  check(service: string): ServingStatus | undefined;
  /** Calls back after any change of any status. @returns what ends it */
  subscribe(changed: () => void): () => void;
}

const statusMessage: Record<ServingStatus, Status> = {
  serving: Status.SERVING,
  not_serving: Status.NOT_SERVING,
};

/**
 * grpc.health.v1, as load balancers ask it. It needs no token, because they have none and learn nothing but
 * whether to send calls here.
 */
export function healthRoutes(source: HealthSource): (router: ConnectRouter) => void {
  return (router) => {
    router.service(
      Health,
      {
        check({ service }) {
          const status = source.check(service);
          if (status === undefined) throw toConnectError(endpointUnknown('such service'));
          return { status: statusMessage[status] };
        },

        list() {
          const statuses = source.services.map((service) => {
            const status = source.check(service);
            return [service, { status: status ? statusMessage[status] : Status.SERVICE_UNKNOWN }] as const;
          });
          return { statuses: Object.fromEntries(statuses) };
        },

        async *watch({ service }, { signal }) {
          for await (const status of changes(source, service, signal)) {
            // The protocol wants a watcher of an unknown service to wait for it, not to fail.
            yield { status: status ? statusMessage[status] : Status.SERVICE_UNKNOWN };
          }
        },
      },
      { readMaxBytes: wireLimits.messageBytes },
    );
  };
}

/** The status now and after each change of it, until the signal aborts. Changes that nobody read yet merge. */
async function* changes(
  source: HealthSource,
  service: string,
  signal: AbortSignal,
): AsyncGenerator<ServingStatus | undefined, void, undefined> {
  let wake = Promise.withResolvers<void>();
  const changed = () => {
    wake.resolve();
  };
  const unsubscribe = source.subscribe(changed);
  signal.addEventListener('abort', changed);
  try {
    let last = source.check(service);
    yield last;
    while (!signal.aborted) {
      await wake.promise;
      wake = Promise.withResolvers();
      const status = source.check(service);
      if (signal.aborted || status === last) continue;
      last = status;
      yield status;
    }
  } finally {
    unsubscribe();
    signal.removeEventListener('abort', changed);
  }
}
