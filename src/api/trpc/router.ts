import type { inferRouterInputs, inferRouterOutputs } from '@trpc/server';
import type { ApiDeps } from '../deps.ts';
import { agentsRouter } from './agents.ts';
import { commandsRouter } from './commands.ts';
import { issuerRouter } from './issuer.ts';
import { rolloutsRouter } from './rollouts.ts';
import { schedulesRouter } from './schedules.ts';
import { systemRouter } from './system.ts';
import { templatesRouter } from './templates.ts';
import { tokensRouter } from './tokens.ts';
import { router } from './trpc.ts';
import { verbsRouter } from './verbs.ts';

export function createAppRouter(deps: ApiDeps) {
  return router({
    agents: agentsRouter(),
    commands: commandsRouter(deps),
    issuer: issuerRouter(deps),
    rollouts: rolloutsRouter(),
    schedules: schedulesRouter(),
    system: systemRouter(deps),
    templates: templatesRouter(),
    tokens: tokensRouter(deps),
    verbs: verbsRouter(deps),
  });
}

/** What a client is typed with. */
export type AppRouter = ReturnType<typeof createAppRouter>;
export type AppInputs = inferRouterInputs<AppRouter>;
export type AppOutputs = inferRouterOutputs<AppRouter>;
