import { createMismatch } from '../commands/targets/selector.ts';
import { storableText } from '../lib/text.ts';
import { disksThatFill, percentOfDisk } from '../protocol/disks.ts';
import type { WatchedAgentRow } from '../storage/alert-rules.ts';
import { type Draft, type Entry, factsOf, newEntry } from './book.ts';
import { type Forecast, hoursUntilFull, measured } from './forecast.ts';
import { isWhole, type Measured, metricOf, type Reading } from './metrics.ts';
import { end, look, observe, type Step } from './state.ts';
import type { Rule } from './types.ts';

/** What samples, presence and time make of alerts. Everything is in the draft; there is no clock and no I/O. */

export type WatchedAgent = WatchedAgentRow;

/** Whether a silence, or maintenance of its agent, keeps an alert from being told of. */
export type IsSilenced = (alert: Pick<Entry, 'rule' | 'agentId' | 'site' | 'subject'>) => boolean;

export interface Circumstances {
  draft: Draft;
  silenced: IsSilenced;
  /** There were too many alerts for another one. */
  refused(agentId: string): void;
}

/** Finds of an agent the rules that are enabled and choose it. */
export function createChoice(rules: Iterable<Rule>): (agent: WatchedAgent) => readonly Rule[] {
  const enabled = [...rules].filter((rule) => rule.enabled);
  const choices = enabled.map((rule) => ({ rule, mismatch: createMismatch(rule.selector) }));
  return (agent) => {
    // No selector of a rule looks at the status.
    const selectable = { ...agent, status: agent.presence };
    return choices.filter(({ mismatch }) => mismatch(selectable) === undefined).map(({ rule }) => rule);
  };
}

/** What is seen of one rule on one agent. */
interface Seen {
  agent: WatchedAgent;
  rule: Rule;
  at: number;
  late: boolean;
  /** What is not among the readings is not there any more. */
  whole: boolean;
}

/** Of every subject that is read; alerts of others are over, where all are read. */
function seeAll(
  context: Circumstances,
  { agent, rule, at, late, whole }: Seen,
  readings: readonly Reading[],
): void {
  const { draft, silenced } = context;
  const present = new Set<string>();
  for (const { subject: given, value } of readings) {
    const subject = storableText(given.slice(0, 255));
    // Of two with the same name the first counts.
    if (present.has(subject)) continue;
    present.add(subject);
    if (value === undefined) continue;
    const entry = draft.find(agent.agentId, rule.name, subject);
    const alert = { rule: rule.name, agentId: agent.agentId, site: agent.site, subject };
    const step = observe(rule, entry?.status, { at, value, late, silenced: silenced(alert) });
    if (entry !== undefined) change(draft, entry, step, factsOf(rule, agent));
    else if (step.next !== undefined) {
      if (!draft.hasRoom(agent.agentId)) return context.refused(agent.agentId);
      draft.set(undefined, newEntry(rule, agent, subject, step.next), step.notice);
    }
  }
  if (!whole) return;
  for (const entry of draft.of(agent.agentId)) {
    if (entry.rule !== rule.name || present.has(entry.subject)) continue;
    const step = observe(rule, entry.status, { at, value: undefined, late, silenced: silenced(entry) });
    change(draft, entry, step, factsOf(rule, agent));
  }
}

function change(draft: Draft, before: Entry, { next, notice }: Step, facts: Partial<Entry> = {}): void {
  if (next === undefined) return draft.set(before, undefined);
  if (next !== before.status) draft.set(before, { ...before, ...facts, status: next }, notice);
}

/** When disks will be full, by mount. */
export type Forecasts = Map<string, Forecast>;

/** Disks of one agent that are watched; of more, the first. */
const maximumDisks = 64;

function forecastReadings(forecasts: Forecasts, sample: Measured, at: number): Reading[] | undefined {
  const disks = disksThatFill(sample.disks).slice(0, maximumDisks);
  if (disks.length === 0) return undefined;
  const mounts = new Set(disks.map(({ mount }) => mount));
  const whole = isWhole(sample, 'disks');
  const readings = disks.map((disk) => {
    const { mount } = disk;
    const percent = percentOfDisk(disk);
    if (percent === undefined) return { subject: mount, value: undefined };
    const forecast = measured(forecasts.get(mount), at, percent / 100);
    forecasts.set(mount, forecast);
    return { subject: mount, value: hoursUntilFull(forecast) };
  });
  for (const mount of forecasts.keys())
    if (!mounts.has(mount) && (whole || forecasts.size > maximumDisks)) forecasts.delete(mount);
  return readings;
}

export interface SeenSample {
  agent: WatchedAgent;
  rules: readonly Rule[];
  forecasts: Forecasts;
  at: number;
  late: boolean;
  sample: Measured;
}

export function seeSample(context: Circumstances, seen: SeenSample): void {
  const { agent, rules, forecasts, at, late, sample } = seen;
  let full: Reading[] | undefined;
  for (const rule of rules) {
    if (rule.metric === 'agent.offline') continue;
    if (rule.metric === 'disk.full_hours') full ??= forecastReadings(forecasts, sample, at);
    const kind = metricOf(rule.metric);
    const readings = rule.metric === 'disk.full_hours' ? full : kind?.read?.(sample);
    const whole = kind?.part === undefined || isWhole(sample, kind.part);
    if (readings !== undefined) seeAll(context, { agent, rule, at, late, whole }, readings);
  }
}

/** Whether the agent is connected now. One that was never connected is not missed. */
export function seePresence(
  context: Circumstances,
  agent: WatchedAgent,
  rules: readonly Rule[],
  now: number,
): void {
  if (!agent.seen) return;
  for (const rule of rules) {
    if (rule.metric !== 'agent.offline') continue;
    const value = agent.presence === 'offline' ? 1 : 0;
    seeAll(context, { agent, rule, at: now, late: false, whole: true }, [{ subject: '', value }]);
  }
}

/** Of one agent: alerts whose rule or agent is gone are over, and silences begin and end. */
export function seeTime(
  context: Circumstances,
  agentId: string,
  agent: WatchedAgent | undefined,
  rules: readonly Rule[],
  now: number,
): void {
  const { draft, silenced } = context;
  const byName = new Map(rules.map((rule) => [rule.name, rule]));
  for (const entry of draft.of(agentId)) {
    const rule = byName.get(entry.rule);
    if (agent === undefined) change(draft, entry, end(entry.status, now, 'the agent is not there any more'));
    else if (rule === undefined || rule.metric !== entry.metric)
      change(draft, entry, end(entry.status, now, 'the rule does not apply any more'));
    else change(draft, entry, look(rule, entry.status, silenced(entry)));
  }
}
