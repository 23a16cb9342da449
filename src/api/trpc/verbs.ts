import type { ApiDeps } from '../deps.ts';
import { getVerbInput, getVerbOutput, listVerbsOutput, verbDetailView, verbView } from '../schemas/verbs.ts';
import { verbNamed } from '../verb-named.ts';
import { procedure, router } from './trpc.ts';

/** The catalogue of what can be submitted. */
export function verbsRouter({ verbs }: Pick<ApiDeps, 'verbs'>) {
  return router({
    list: procedure.output(listVerbsOutput).query(() => ({ verbs: verbs.verbs.map(verbView) })),

    /** One verb with its args and its result, field by field. */
    get: procedure
      .input(getVerbInput)
      .output(getVerbOutput)
      .query(({ input }) => ({ verb: verbDetailView(verbNamed(verbs, input.name)) })),
  });
}
