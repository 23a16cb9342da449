import type { AuditTrail } from '../audit/trail.ts';
import type { AuditCaller } from '../audit/types.ts';
import type { ViworksError } from '../errors.ts';
import type { Actor } from '../identity/types.ts';
import { newId } from '../lib/ids.ts';
import type { Operation } from './authorize.ts';

/**
 * The one place where calls of the API come into the audit log: every operation that changes something, whoever was
 * refused, and who came in. What an operation is about is read from its request.
 */

/** What it is about, and the field of the request that names it; no field where the call makes it. */
type About = readonly [kind: string, field?: string];

const command: About = ['command', 'commandId'];
const template: About = ['template', 'name'];
const schedule: About = ['schedule', 'name'];
const agent: About = ['agent', 'agentId'];
const alertRule: About = ['alert_rule', 'name'];
const webhook: About = ['webhook', 'name'];

/** Every operation that changes something, and the one that takes the audit log away. */
const about = {
  'agents.setStatus': agent,
  'agents.revoke': agent,
  'agents.release': agent,
  'agents.rotateKey': agent,
  'agents.remove': agent,
  'commands.submit': ['command'],
  'commands.cancel': command,
  'commands.approve': command,
  'commands.reject': command,
  'commands.retry': command,
  'rollouts.pause': command,
  'rollouts.resume': command,
  'rollouts.abort': command,
  'templates.save': template,
  'templates.delete': template,
  'templates.run': template,
  'schedules.create': schedule,
  'schedules.update': schedule,
  'schedules.delete': schedule,
  'schedules.pause': schedule,
  'schedules.resume': schedule,
  'schedules.run': schedule,
  'alerts.acknowledge': ['alert', 'alertId'],
  'alerts.silence': ['silence'],
  'alerts.endSilence': ['silence', 'silenceId'],
  'alerts.saveRule': alertRule,
  'alerts.deleteRule': alertRule,
  'alerts.addWebhook': webhook,
  'alerts.removeWebhook': webhook,
  'alerts.testWebhook': webhook,
  'alerts.retryDeadLetters': ['webhook', 'webhook'],
  'enrollment.createToken': ['enrollment_token'],
  'enrollment.revokeToken': ['enrollment_token', 'tokenId'],
  'enrollment.approve': ['enrollment_request', 'requestId'],
  'enrollment.reject': ['enrollment_request', 'requestId'],
  'keys.rotate': ['command_key'],
  'keys.revoke': ['command_key', 'keyId'],
  'certs.prepareAuthority': ['authority'],
  'certs.dropAuthority': ['authority'],
  'certs.activateAuthority': ['authority'],
  'certs.retireAuthority': ['authority'],
  'certs.rotatePins': ['pins'],
  'certs.issue': ['certificate'],
  'certs.revoke': ['certificate', 'serial'],
  'tokens.createEnrollment': ['enrollment_token'],
  'tokens.createApi': ['api_token'],
  'tokens.create': ['service_token'],
  'tokens.revoke': ['api_token', 'tokenId'],
  'issuer.rotateKey': ['issuer_key'],
  'issuer.revokeKey': ['issuer_key', 'keyId'],
} as const satisfies Partial<Record<Operation, About>>;

export const auditedOperations: ReadonlyMap<string, About> = new Map<string, About>(Object.entries(about));

/** What a surface knows of a caller beside its token. */
export interface RequestFacts {
  address: string | undefined;
  header(name: string): string | null | undefined;
}

export interface CallAudit {
  /** Runs an operation; one that changes something leaves an entry. @param request as its caller wrote it */
  run<T>(operation: string, actor: Actor, request: () => unknown, work: () => Promise<T>): Promise<T>;
  /** Who calls was found out. */
  admitted(actor: Actor): void;
  /** The call was refused before anything was looked at. @param actor undefined where that is why */
  refused(operation: string, actor: Actor | undefined, error: ViworksError): void;
}

const idForm = /^[\w.:/+=-]{1,128}$/;
/** Codes of the refusals that say who may come in, and do what. */
const accessCodes: ReadonlySet<string> = new Set(['unauthenticated', 'permission_denied', 'rate_limited']);

export function auditOf(
  trail: Pick<AuditTrail, 'during' | 'admitted' | 'refused'>,
  { address, header }: RequestFacts,
): CallAudit {
  const named = (name: string): string | undefined => {
    const value = header(name) ?? '';
    return idForm.test(value) ? value : undefined;
  };
  const callerOf = (actor: Actor | undefined): AuditCaller => ({
    actor: actor?.subject ?? 'unknown',
    role: actor?.role,
    address,
    userAgent: header('user-agent') ?? undefined,
  });

  return {
    run(operation, actor, request, work) {
      const what = auditedOperations.get(operation);
      if (what === undefined) return work();
      const [resourceKind, field] = what;
      const id = field === undefined ? undefined : fieldOf(request(), field);
      const call = {
        ...callerOf(actor),
        requestId: named('x-request-id') ?? newId(),
        correlationId: named('x-correlation-id'),
        action: operation,
        resourceKind,
        resourceId: typeof id === 'string' ? id : undefined,
        details: request,
      };
      return trail.during(call, work);
    },
    admitted: (actor) => trail.admitted(callerOf(actor), 'api.login'),
    refused(operation, actor, { code }) {
      if (!accessCodes.has(code)) return;
      trail.refused({ ...callerOf(actor), action: operation, code });
    },
  };
}

const fieldOf = (request: unknown, field: string): unknown =>
  typeof request === 'object' && request !== null ? Reflect.get(request, field) : undefined;
