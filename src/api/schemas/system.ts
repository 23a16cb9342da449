import { z } from 'zod';
import { agentStatusSchema } from './agents.ts';
import { countSchema } from './common.ts';
import { executionStateSchema } from './executions.ts';

export const healthOutput = z.strictObject({
  status: z.enum(['ok', 'degraded']),
  version: z.string(),
  uptimeMs: z.number().nonnegative(),
  components: z.array(
    z.strictObject({ name: z.string(), status: z.enum(['ok', 'down']), detail: z.string() }),
  ),
  agents: z.partialRecord(agentStatusSchema, countSchema),
  executions: z.partialRecord(executionStateSchema, countSchema),
});
