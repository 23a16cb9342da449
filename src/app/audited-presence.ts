import type { AuditTrail } from '../audit/trail.ts';
import type { Presence } from '../registry/presence.ts';

/** An agent that came in is told in the audit log. */
export function auditedPresence(presence: Presence, audit: Pick<AuditTrail, 'admitted'>): Presence {
  return {
    ...presence,
    async open(opening) {
      const opened = await presence.open(opening);
      const { agentId, remoteAddress: address, software: userAgent } = opening;
      if (opened !== undefined)
        audit.admitted({ actor: `agent:${agentId}`, address, userAgent }, 'sessions.open');
      return opened;
    },
  };
}
