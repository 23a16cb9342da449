import { TRPCClientError } from '@trpc/client';
import { jsonType } from '../protocol/json-schema.ts';
import { builtInCatalogue, createVerbCatalogue, type VerbCatalogue } from '../protocol/verbs.ts';
import type { Client } from './client.ts';

/**
 * The catalogue with which the args of a verb are read: the built-in verbs are known here, and those of a plug-in
 * the server tells.
 */
export async function catalogueWith(client: Client, name: string): Promise<VerbCatalogue> {
  if (builtInCatalogue.get(name) !== undefined) return builtInCatalogue;
  try {
    const { verb } = await client.verbs.get.query({ name });
    const { argsSchema, resultSchema } = verb;
    if (argsSchema === undefined || resultSchema === undefined) return builtInCatalogue;
    const spec = { ...verb, args: jsonType(argsSchema), result: jsonType(resultSchema) };
    return createVerbCatalogue([{ file: 'the server', verbs: [spec] }]);
  } catch (error) {
    // A verb that nobody knows is told of where its args are read, with what may have been meant.
    if (error instanceof TRPCClientError && error.data?.code === 'verb_unknown') return builtInCatalogue;
    throw error;
  }
}
