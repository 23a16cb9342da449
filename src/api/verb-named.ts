import { ViworksError } from '../errors.ts';
import type { VerbCatalogue, VerbSpec } from '../protocol/verbs.ts';

/** @throws verb_unknown */
export function verbNamed(verbs: VerbCatalogue, name: string): VerbSpec {
  const verb = verbs.get(name);
  if (verb === undefined) throw new ViworksError('verb_unknown', `There is no verb ${JSON.stringify(name)}.`);
  return verb;
}
