import { newId } from '../lib/ids.ts';
import { type AlertStatus, differs, gapMs, type Notice } from './state.ts';
import type { Rule } from './types.ts';

/**
 * The alerts that are not resolved, in memory as they are in the database. Changes are made in a draft; it becomes
 * the book once it is committed.
 */

export interface Entry {
  alertId: string;
  rule: string;
  agentId: string;
  subject: string;
  site: string;
  severity: Rule['severity'];
  metric: string;
  comparison: Rule['comparison'];
  threshold: number;
  status: AlertStatus;
  /** The newest observation that the database knows of. */
  storedSeenAt: number;
}

export interface Draft {
  find(agentId: string, rule: string, subject: string): Entry | undefined;
  /** Of one agent, as they are in the draft. */
  of(agentId: string): readonly Entry[];
  /** @param entry as it is from now on; undefined: it was pending and is over */
  set(before: Entry | undefined, entry: Entry | undefined, notice?: Notice): void;
  /** Whether one more may begin on this agent. */
  hasRoom(agentId: string): boolean;
  /** What the database has to be told. */
  changes(): { written: Entry[]; dropped: Entry[]; notices: { notice: Notice; entry: Entry }[] };
  /** Makes it the book. */
  commit(): void;
}

export interface Book {
  /** In place of all that it had. */
  load(entries: readonly Entry[]): void;
  byId(alertId: string): Entry | undefined;
  agents(): Iterable<string>;
  draft(): Draft;
  readonly size: number;
}

/** One agent may have so many, and all together so many. */
const maximumOfAgent = 2000;
const maximumEntries = 100_000;

const none: readonly Entry[] = [];
const keyOf = (rule: string, subject: string): string => `${rule}\n${subject}`;

export const newEntry = (
  rule: Rule,
  agent: { agentId: string; site: string },
  subject: string,
  status: AlertStatus,
): Entry => ({
  alertId: newId(),
  agentId: agent.agentId,
  subject,
  storedSeenAt: status.seenAt,
  status,
  ...factsOf(rule, agent),
});

/** What a row says of its rule and agent, as they were when it was written last. */
export const factsOf = (rule: Rule, { site }: { site: string }) => ({
  rule: rule.name,
  site,
  severity: rule.severity,
  metric: rule.metric,
  comparison: rule.comparison,
  threshold: rule.threshold,
});

export function createBook(): Book {
  const byAgent = new Map<string, Map<string, Entry>>();
  const ids = new Map<string, Entry>();

  function put(entry: Entry): void {
    const entries = byAgent.get(entry.agentId) ?? new Map<string, Entry>();
    byAgent.set(entry.agentId, entries.set(keyOf(entry.rule, entry.subject), entry));
    ids.set(entry.alertId, entry);
  }

  function remove({ alertId, agentId, rule, subject }: Entry): void {
    const entries = byAgent.get(agentId);
    const key = keyOf(rule, subject);
    // Another one may have taken its place.
    if (entries?.get(key)?.alertId === alertId) entries.delete(key);
    if (entries?.size === 0) byAgent.delete(agentId);
    ids.delete(alertId);
  }

  function draft(): Draft {
    /** By agent and key; null where there is none any more. */
    const changed = new Map<string, Map<string, Entry | null>>();
    /** As it was in the book, and as it is. */
    const touched = new Map<string, { before: Entry | undefined; after: Entry | undefined }>();
    const notices: { notice: Notice; entry: Entry }[] = [];
    /** By how many there are more than in the book, in all and of each agent. */
    let added = 0;
    const addedOf = new Map<string, number>();

    const find: Draft['find'] = (agentId, rule, subject) => {
      const key = keyOf(rule, subject);
      const drafted = changed.get(agentId)?.get(key);
      return drafted === null ? undefined : (drafted ?? byAgent.get(agentId)?.get(key));
    };

    return {
      find,
      of(agentId) {
        const kept = byAgent.get(agentId);
        const drafted = changed.get(agentId);
        // Nearly always there is nothing: this is asked for every rule of every sample.
        if (kept === undefined && drafted === undefined) return none;
        const entries = new Map<string, Entry | null>(kept);
        for (const [key, entry] of drafted ?? []) entries.set(key, entry);
        return [...entries.values()].filter((entry) => entry !== null);
      },
      set(before, after, notice) {
        const entry = after ?? before;
        if (entry === undefined) return;
        const { agentId, alertId } = entry;
        const kept = after?.status.state === 'resolved' ? undefined : after;
        const more =
          Number(kept !== undefined) - Number(find(agentId, entry.rule, entry.subject) !== undefined);
        added += more;
        addedOf.set(agentId, (addedOf.get(agentId) ?? 0) + more);
        const drafted = changed.get(agentId) ?? new Map<string, Entry | null>();
        changed.set(agentId, drafted.set(keyOf(entry.rule, entry.subject), kept ?? null));
        touched.set(alertId, { before: ids.get(alertId), after });
        if (notice !== undefined) notices.push({ notice, entry });
      },
      hasRoom: (agentId) =>
        ids.size + added < maximumEntries &&
        (byAgent.get(agentId)?.size ?? 0) + (addedOf.get(agentId) ?? 0) < maximumOfAgent,
      changes() {
        const written: Entry[] = [];
        const dropped: Entry[] = [];
        for (const { before, after } of touched.values()) {
          if (after === undefined) {
            if (before !== undefined) dropped.push(before);
          } else if (isWorthWriting(before, after)) written.push(after);
        }
        return { written, dropped, notices };
      },
      commit() {
        for (const { before, after } of touched.values()) {
          if (before !== undefined) remove(before);
          if (after === undefined || after.status.state === 'resolved') continue;
          const stored = isWorthWriting(before, after) ? after.status.seenAt : after.storedSeenAt;
          put({ ...after, storedSeenAt: stored });
        }
      },
    };
  }

  return {
    load(entries) {
      byAgent.clear();
      ids.clear();
      for (const entry of entries) put(entry);
    },
    byId: (alertId) => ids.get(alertId),
    agents: () => byAgent.keys(),
    draft,
    get size() {
      return ids.size;
    },
  };
}

/**
 * A newer observation alone is not written each time; but often enough that after a restart it is known that a
 * duration went on.
 */
function isWorthWriting(before: Entry | undefined, after: Entry): boolean {
  if (before === undefined || differs(before.status, after.status)) return true;
  if (
    before.severity !== after.severity ||
    before.threshold !== after.threshold ||
    before.site !== after.site
  )
    return true;
  const { state, clearSince, seenAt } = after.status;
  return (state === 'pending' || clearSince !== undefined) && seenAt - after.storedSeenAt > gapMs / 2;
}
