import type { ApiDeps } from '../deps.ts';
import { keysOutput, keysView, listKeysInput, revokeKeyInput, rotateKeyInput } from '../schemas/keys.ts';
import { procedure, router } from './trpc.ts';

/** The keys that sign commands. */
export function keysRouter({ commandKeys }: Pick<ApiDeps, 'commandKeys'>) {
  return router({
    list: procedure
      .input(listKeysInput)
      .output(keysOutput)
      .query(async () => keysView(await commandKeys.list())),

    /** A new key signs from now on, or after a delay. */
    rotate: procedure
      .input(rotateKeyInput)
      .output(keysOutput)
      .mutation(async ({ ctx, input }) => keysView(await commandKeys.rotate(ctx.actor.subject, input))),

    /** No agent believes the key any more. */
    revoke: procedure
      .input(revokeKeyInput)
      .output(keysOutput)
      .mutation(async ({ ctx, input: { keyId, reason } }) =>
        keysView(await commandKeys.revoke(ctx.actor.subject, keyId, reason)),
      ),
  });
}
