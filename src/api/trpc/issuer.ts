import type { ApiDeps } from '../deps.ts';
import { issuerKeysInput, issuerKeysOutput, issuerKeyView, revokeKeyInput } from '../schemas/tokens.ts';
import { procedure, router } from './trpc.ts';

/** The keys that sign tokens. */
export function issuerRouter({ issuerKeys }: Pick<ApiDeps, 'issuerKeys'>) {
  return router({
    listKeys: procedure
      .input(issuerKeysInput)
      .output(issuerKeysOutput)
      .query(async () => ({ keys: (await issuerKeys.listKeys()).map(issuerKeyView) })),

    /** A new key signs from now on; the one before is believed until its tokens have expired. */
    rotateKey: procedure
      .input(issuerKeysInput)
      .output(issuerKeysOutput)
      .mutation(async ({ ctx }) => {
        return { keys: (await issuerKeys.rotateKey(ctx.actor.subject)).map(issuerKeyView) };
      }),

    /** No token that the key signed is believed any more. */
    revokeKey: procedure
      .input(revokeKeyInput)
      .output(issuerKeysOutput)
      .mutation(async ({ ctx, input }) => {
        return { keys: (await issuerKeys.revokeKey(ctx.actor.subject, input.keyId)).map(issuerKeyView) };
      }),
  });
}
