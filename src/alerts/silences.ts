import type { Silence, SilenceMatch } from './types.ts';

/** Which alerts a silence names. */

interface Silenceable {
  rule: string;
  agentId: string;
  site: string;
  subject: string;
}

export const names = (match: SilenceMatch, alert: Silenceable): boolean =>
  (match.rule === undefined || match.rule === alert.rule) &&
  (match.agentId === undefined || match.agentId === alert.agentId) &&
  (match.site === undefined || match.site === alert.site) &&
  (match.subject === undefined || match.subject === alert.subject);

/** Whether one of them counts now. */
export const isSilenced = (silences: readonly Silence[], alert: Silenceable, now: number): boolean =>
  silences.some((silence) => silence.endsAt.getTime() > now && names(silence, alert));
