import type { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { ViworksError } from '../errors.ts';
import { type Actor, type Role, roles } from '../identity/types.ts';
import { describeScope, narrows } from '../lib/scope.ts';

/**
 * Who may do what, in one table for every surface. What is not in the table is nobody's to do.
 */

const leastRole = {
  'agents.list': 'viewer',
  'agents.get': 'viewer',
  'agents.setStatus': 'admin',
  'agents.revoke': 'admin',
  'agents.release': 'admin',
  'agents.rotateKey': 'admin',
  'agents.remove': 'admin',
  'enrollment.createToken': 'admin',
  'enrollment.listTokens': 'admin',
  'enrollment.getToken': 'admin',
  'enrollment.revokeToken': 'admin',
  'enrollment.listRequests': 'viewer',
  'enrollment.approve': 'admin',
  'enrollment.reject': 'admin',
  'commands.submit': 'operator',
  'commands.plan': 'viewer',
  'commands.get': 'viewer',
  'commands.list': 'viewer',
  'commands.cancel': 'operator',
  'commands.approve': 'operator',
  'commands.reject': 'operator',
  'commands.retry': 'operator',
  'commands.statistics': 'viewer',
  'commands.watch': 'viewer',
  'commands.output': 'viewer',
  'rollouts.get': 'viewer',
  'rollouts.list': 'viewer',
  'rollouts.pause': 'operator',
  'rollouts.resume': 'operator',
  'rollouts.abort': 'operator',
  'templates.list': 'viewer',
  'templates.get': 'viewer',
  'templates.save': 'operator',
  'templates.delete': 'operator',
  'templates.render': 'viewer',
  'templates.run': 'operator',
  'schedules.list': 'viewer',
  'schedules.get': 'viewer',
  'schedules.create': 'operator',
  'schedules.update': 'operator',
  'schedules.delete': 'operator',
  'schedules.pause': 'operator',
  'schedules.resume': 'operator',
  'schedules.run': 'operator',
  'schedules.next': 'viewer',
  'audit.list': 'admin',
  'audit.verify': 'admin',
  'audit.export': 'admin',
  'audit.head': 'viewer',
  'keys.list': 'viewer',
  'keys.rotate': 'admin',
  'keys.revoke': 'admin',
  'certs.status': 'viewer',
  'certs.pins': 'viewer',
  'certs.list': 'viewer',
  'certs.prepareAuthority': 'admin',
  'certs.dropAuthority': 'admin',
  'certs.activateAuthority': 'admin',
  'certs.retireAuthority': 'admin',
  'certs.rotatePins': 'admin',
  'certs.issue': 'admin',
  'certs.revoke': 'admin',
  'system.health': 'viewer',
  'tokens.createEnrollment': 'admin',
  'tokens.createApi': 'admin',
  'tokens.create': 'admin',
  'tokens.list': 'admin',
  'tokens.revoke': 'admin',
  'issuer.listKeys': 'admin',
  'issuer.rotateKey': 'admin',
  'issuer.revokeKey': 'admin',
  'verbs.list': 'viewer',
  'verbs.get': 'viewer',
} as const satisfies Record<string, Role>;

/** Something that the API can do, by the name of its tRPC procedure. */
export type Operation = keyof typeof leastRole;

const operationOfMethod: Record<keyof (typeof ControlService)['method'], Operation> = {
  listAgents: 'agents.list',
  getAgent: 'agents.get',
  setAgentStatus: 'agents.setStatus',
  createEnrollmentToken: 'tokens.createEnrollment',
  createApiToken: 'tokens.createApi',
  createToken: 'tokens.create',
  listTokens: 'tokens.list',
  revokeToken: 'tokens.revoke',
  listIssuerKeys: 'issuer.listKeys',
  rotateIssuerKey: 'issuer.rotateKey',
  revokeIssuerKey: 'issuer.revokeKey',
  listEnrollmentTokens: 'enrollment.listTokens',
  getEnrollmentToken: 'enrollment.getToken',
  revokeEnrollmentToken: 'enrollment.revokeToken',
  listEnrollmentRequests: 'enrollment.listRequests',
  approveEnrollment: 'enrollment.approve',
  rejectEnrollment: 'enrollment.reject',
  revokeAgent: 'agents.revoke',
  releaseAgent: 'agents.release',
  rotateAgentKey: 'agents.rotateKey',
  removeAgent: 'agents.remove',
  submitCommand: 'commands.submit',
  planCommand: 'commands.plan',
  getCommand: 'commands.get',
  listCommands: 'commands.list',
  cancelCommand: 'commands.cancel',
  approveCommand: 'commands.approve',
  rejectCommand: 'commands.reject',
  retryCommand: 'commands.retry',
  getStatistics: 'commands.statistics',
  watchCommand: 'commands.watch',
  readOutput: 'commands.output',
  listVerbs: 'verbs.list',
  getVerb: 'verbs.get',
  getRollout: 'rollouts.get',
  listRollouts: 'rollouts.list',
  pauseRollout: 'rollouts.pause',
  resumeRollout: 'rollouts.resume',
  abortRollout: 'rollouts.abort',
  listTemplates: 'templates.list',
  getTemplate: 'templates.get',
  saveTemplate: 'templates.save',
  deleteTemplate: 'templates.delete',
  renderTemplate: 'templates.render',
  runTemplate: 'templates.run',
  listSchedules: 'schedules.list',
  getSchedule: 'schedules.get',
  createSchedule: 'schedules.create',
  updateSchedule: 'schedules.update',
  deleteSchedule: 'schedules.delete',
  pauseSchedule: 'schedules.pause',
  resumeSchedule: 'schedules.resume',
  runSchedule: 'schedules.run',
  nextOccurrences: 'schedules.next',
  listAuditEntries: 'audit.list',
  verifyAudit: 'audit.verify',
  exportAudit: 'audit.export',
  getAuditHead: 'audit.head',
  listKeys: 'keys.list',
  rotateKey: 'keys.rotate',
  revokeKey: 'keys.revoke',
  getCertificateStatus: 'certs.status',
  getPins: 'certs.pins',
  listCertificates: 'certs.list',
  prepareAuthority: 'certs.prepareAuthority',
  dropAuthority: 'certs.dropAuthority',
  activateAuthority: 'certs.activateAuthority',
  retireAuthority: 'certs.retireAuthority',
  rotatePins: 'certs.rotatePins',
  issueCertificate: 'certs.issue',
  revokeCertificate: 'certs.revoke',
  getHealth: 'system.health',
};

/** The operation behind each method of ControlService, by the method's local name. */
export const controlOperations: ReadonlyMap<string, Operation> = new Map(Object.entries(operationOfMethod));

export const operations: ReadonlyMap<string, Role> = new Map<string, Role>(Object.entries(leastRole));

/**
 * What knows the limits of a token (src/api/core.ts), or shows nothing that one could be limited to. Whoever is
 * limited to sites or verbs may do this and nothing else.
 */
export const limitedOperations: ReadonlySet<string> = new Set<Operation>([
  'agents.list',
  'agents.get',
  'agents.setStatus',
  'commands.submit',
  'commands.plan',
  'commands.get',
  'commands.list',
  'commands.cancel',
  'commands.approve',
  'commands.reject',
  'commands.retry',
  'commands.statistics',
  'commands.watch',
  'commands.output',
  'rollouts.get',
  'rollouts.list',
  'rollouts.pause',
  'rollouts.resume',
  'rollouts.abort',
  'templates.list',
  'templates.get',
  'templates.render',
  'templates.run',
  'schedules.list',
  'schedules.get',
  'schedules.create',
  'schedules.update',
  'schedules.delete',
  'schedules.pause',
  'schedules.resume',
  'schedules.run',
  'schedules.next',
  'system.health',
  'certs.pins',
  'enrollment.createToken',
  'tokens.createEnrollment',
  'verbs.list',
  'verbs.get',
]);

/** @throws permission_denied, scope_exceeded */
export function authorize(actor: Actor, operation: string): void {
  const least = operations.get(operation);
  if (least === undefined) throw new ViworksError('permission_denied', 'Nobody may do this.');
  if (roles.indexOf(actor.role) < roles.indexOf(least)) {
    throw new ViworksError('permission_denied', `This needs the role ${least}; the token has ${actor.role}.`);
  }
  if (narrows(actor.scope) && !limitedOperations.has(operation)) {
    const limits = describeScope(actor.scope);
    throw new ViworksError('scope_exceeded', `This needs a token without limits; this one has ${limits}.`);
  }
}

/**
 * Reads `authorization: Bearer …` (RFC 6750); empty where it is none. A token is taken from this header only: in an
 * address it would end up in the logs of every proxy on the way.
 */
export function tokenIn(authorization: string | null | undefined): string {
  const [, token = ''] = /^Bearer +([\w.~+/-]+=*) *$/i.exec(authorization ?? '') ?? [];
  return token;
}
