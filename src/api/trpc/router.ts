import type { inferRouterInputs, inferRouterOutputs } from '@trpc/server';
import type { ApiDeps } from '../deps.ts';
import { agentsRouter } from './agents.ts';
import { alertsRouter } from './alerts.ts';
import { auditRouter } from './audit.ts';
import { certsRouter } from './certs.ts';
import { commandsRouter } from './commands.ts';
import { enrollmentRouter } from './enrollment.ts';
import { healthRouter } from './health.ts';
import { issuerRouter } from './issuer.ts';
import { keysRouter } from './keys.ts';
import { rolloutsRouter } from './rollouts.ts';
import { schedulesRouter } from './schedules.ts';
import { systemRouter } from './system.ts';
import { telemetryRouter } from './telemetry.ts';
import { templatesRouter } from './templates.ts';
import { tokensRouter } from './tokens.ts';
import { router } from './trpc.ts';
import { verbsRouter } from './verbs.ts';

export function createAppRouter(deps: ApiDeps) {
  return router({
    agents: agentsRouter(deps),
    alerts: alertsRouter(),
    audit: auditRouter(deps),
    certs: certsRouter(deps),
    commands: commandsRouter(deps),
    health: healthRouter(),
    issuer: issuerRouter(deps),
    rollouts: rolloutsRouter(),
    schedules: schedulesRouter(),
    enrollment: enrollmentRouter(deps),
    keys: keysRouter(deps),
    system: systemRouter(deps),
    telemetry: telemetryRouter(deps),
    templates: templatesRouter(),
    tokens: tokensRouter(deps),
    verbs: verbsRouter(deps),
  });
}

/** What a client is typed with. */
export type AppRouter = ReturnType<typeof createAppRouter>;
export type AppInputs = inferRouterInputs<AppRouter>;
export type AppOutputs = inferRouterOutputs<AppRouter>;
