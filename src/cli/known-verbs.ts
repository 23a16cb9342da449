import { jsonType } from '../protocol/json-schema.ts';
import { builtInCatalogue, createVerbCatalogue, type VerbCatalogue } from '../protocol/verbs.ts';
import type { Client } from './client.ts';

/**
 * The catalogue with which the args of a verb are read: the built-in verbs are known here, and those of a plug-in
 * the server tells.
 */
export async function catalogueWith(client: Client, name: string): Promise<VerbCatalogue> {
  if (builtInCatalogue.get(name) !== undefined) return builtInCatalogue;
  const { verb } = await client.verbs.get.query({ name });
  const { argsSchema, resultSchema } = verb;
  // A built-in verb of a newer server: without its types, its args can be given as JSON alone.
  if (argsSchema === undefined || resultSchema === undefined) return builtInCatalogue;
  const spec = { ...verb, args: jsonType(argsSchema), result: jsonType(resultSchema) };
  return createVerbCatalogue([{ file: 'the server', verbs: [spec] }]);
}
