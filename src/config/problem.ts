import { ViworksError } from '../errors.ts';

/** How a setting is called where the person wrote it. */
export type NameOf = (key: string) => string;

/** @param name as the person wrote it; @param problem says what would be right */
export function configError(name: string, problem: string): ViworksError {
  return new ViworksError('config_invalid', `${name}: ${problem}`, { fields: [{ field: name, problem }] });
}
