import { nearest } from '../config/nearest.ts';
import { ViworksError } from '../errors.ts';
import type { VerbCatalogue, VerbSpec } from '../protocol/verbs.ts';

/** @throws verb_unknown; it names what was probably meant */
export function verbNamed(verbs: VerbCatalogue, name: string): VerbSpec {
  const verb = verbs.get(name);
  if (verb !== undefined) return verb;
  const meant = nearest(name, verbs.names);
  throw new ViworksError(
    'verb_unknown',
    `There is no verb ${name}${meant === undefined ? '.' : `; did you mean ${meant}?`}`,
  );
}
