/**
 * How a certificate names an agent: a URI like those of SPIFFE, with the enrolment in it, so that a certificate of an
 * enrolment that is over is told by its name alone.
 */
export interface AgentName {
  agentId: string;
  incarnation: number;
}

export const trustDomainForm = /^[a-z0-9]([a-z0-9._-]{0,253}[a-z0-9])?$/;

/** `spiffe://<trust domain>/agent/<id>/<incarnation>` */
export const agentUri = (trustDomain: string, { agentId, incarnation }: AgentName): string =>
  `spiffe://${trustDomain}/agent/${agentId}/${incarnation}`;

const form = /^spiffe:\/\/([^/]+)\/agent\/([a-z0-9]|[a-z0-9][a-z0-9._-]{0,61}[a-z0-9])\/([1-9]\d{0,8})$/;

/** Undefined where the URI names no agent of the trust domain. */
export function readAgentUri(trustDomain: string, uri: string): AgentName | undefined {
  const [, domain, agentId, incarnation] = form.exec(uri) ?? [];
  if (domain !== trustDomain || agentId === undefined) return undefined;
  return { agentId, incarnation: Number(incarnation) };
}
