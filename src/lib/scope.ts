/**
 * What a caller is limited to, beside its role: sites, verbs, and a share of the fleet. A part that is absent does
 * not limit; an empty list allows nothing. The same value goes from the token to the statements that read rows.
 */
export interface Scope {
  /** Names of sites. */
  sites?: readonly string[] | undefined;
  /** Names of verbs; a `*` at the end stands for any rest, as in `docker.*`. */
  verbs?: readonly string[] | undefined;
  /** Percent of all agents that one command may go to; one agent is always allowed. */
  maxFleetShare?: number | undefined;
}

export const siteForm = /^[a-z0-9][a-z0-9._-]{0,62}$/;
export const verbPatternForm = /^(?:[a-z0-9][a-z0-9._-]{0,126}\*?|\*)$/;

/** Whether it narrows what somebody sees, and not only how much somebody may do at once. */
export const narrows = (scope: Scope | undefined): scope is Scope =>
  scope !== undefined && (scope.sites !== undefined || scope.verbs !== undefined);

export const allowsSite = ({ sites }: Scope, site: string): boolean =>
  sites === undefined || sites.includes(site);

export const allowsVerb = ({ verbs }: Scope, verb: string): boolean =>
  verbs === undefined || verbs.some((pattern) => covers(pattern, verb));

/** Whether whoever has the outer scope may do all that the inner one allows, the share of the fleet apart. */
export function isWithin(inner: Scope | undefined, outer: Scope | undefined): boolean {
  const sites = outer?.sites;
  const verbs = outer?.verbs;
  return (
    (sites === undefined || inner?.sites?.every((site) => sites.includes(site)) === true) &&
    (verbs === undefined ||
      inner?.verbs?.every((verb) => verbs.some((pattern) => covers(pattern, verb))) === true)
  );
}

/** A pattern stands for itself too: `docker.*` covers `docker.build` and `docker.image.*`, not `*`. */
function covers(pattern: string, verb: string): boolean {
  return pattern.endsWith('*') ? verb.startsWith(pattern.slice(0, -1)) : verb === pattern;
}

/** Patterns of verbs as SQL's `like` reads them. */
export const likePatterns = ({ verbs }: Scope): string[] | undefined =>
  verbs?.map((pattern) => {
    const literal = pattern.endsWith('*') ? pattern.slice(0, -1) : pattern;
    return literal.replaceAll(/[\\%_]/g, '\\$&') + (literal === pattern ? '' : '%');
  });

/** In words for a person, for example `sites: bern; verbs: docker.*`. */
export function describeScope({ sites, verbs }: Scope): string {
  const parts = [sites && `sites: ${sites.join(', ')}`, verbs && `verbs: ${verbs.join(', ')}`];
  return parts.filter(Boolean).join('; ');
}
