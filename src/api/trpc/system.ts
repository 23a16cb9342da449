import type { ApiDeps } from '../deps.ts';
import { healthOutput } from '../schemas/system.ts';
import { procedure, router } from './trpc.ts';

export function systemRouter({ health }: Pick<ApiDeps, 'health'>) {
  return router({ health: procedure.output(healthOutput).query(() => health.report()) });
}
