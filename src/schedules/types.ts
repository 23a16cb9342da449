import type { Command, SubmitInput } from '../commands/types.ts';
import type { Page, PageRequest } from '../lib/page.ts';
import type { Scope } from '../lib/scope.ts';
import type { CommandDraft, TemplateUse } from '../templates/types.ts';

/** A schedule submits a command at its times, in the name of whoever created it. */

export const missedPolicies = ['skip', 'once'] as const;
export const overlapPolicies = ['allow', 'skip'] as const;

/** Once, or again and again by a cron expression of five or six fields. */
export type When = { at: string } | { cron: string; timeZone: string };

export type Timing = When & {
  /** What becomes of runs that were missed: nothing, or one for the last of them. */
  missed: (typeof missedPolicies)[number];
  /** How late a missed run may be made up for, in milliseconds. */
  catchUpWithinMs: number;
  /** What becomes of a run while the command before has not ended. */
  overlap: (typeof overlapPolicies)[number];
};

/** What is left out takes its default: UTC, skip, one hour, allow. */
export type TimingInput = ({ at: string } | { cron: string; timeZone?: string | undefined }) & {
  [K in 'missed' | 'catchUpWithinMs' | 'overlap']?: Timing[K] | undefined;
};

export type Action = { command: CommandDraft } | { template: { name: string } & TemplateUse };

export interface ScheduleInput {
  name: string;
  description?: string | undefined;
  timing: TimingInput;
  action: Action;
  /** It begins when somebody resumes it. */
  paused?: boolean | undefined;
  /** What its maker is limited to, and so its commands are; set by the API. */
  within?: Scope | undefined;
}

/** What is left out stays as it is. */
export type ScheduleChange = {
  [K in 'description' | 'timing' | 'action' | 'within']?: ScheduleInput[K] | undefined;
};

export interface Schedule {
  name: string;
  description: string;
  timing: Timing;
  action: Action;
  /** Not paused. */
  enabled: boolean;
  /** In whose name it submits. */
  actor: string;
  /** What its commands are limited to. */
  scope: Scope | undefined;
  /** Grows with each change that a person makes. */
  revision: number;
  /** Undefined when nothing is to come. */
  nextAt: Date | undefined;
  /** The time of the last run, whatever came of it. */
  lastAt: Date | undefined;
  lastCommandId: string | undefined;
  /** Why the last run submitted nothing, or which runs before it were missed. */
  lastError: string | undefined;
  createdAt: Date;
  updatedAt: Date;
}

/** What the API calls. */
export interface ScheduleService {
  /** By name. Within a scope: those that are limited at least so. */
  list(page: PageRequest, scope?: Scope): Promise<Page<Schedule>>;
  /** @throws schedule_unknown */
  get(name: string): Promise<Schedule>;
  /** @throws invalid_request, what its command or template is refused with, revision_conflict if there is one */
  create(actor: string, input: ScheduleInput): Promise<Schedule>;
  /**
   * It begins anew from now on, in the name of the actor and within its limits.
   * @param revision that it must have
   * @throws schedule_unknown, revision_conflict, and as create
   */
  update(actor: string, name: string, revision: number, change: ScheduleChange): Promise<Schedule>;
  /** @param revision that it must have; undefined for any @throws schedule_unknown, revision_conflict */
  delete(name: string, revision: number | undefined): Promise<void>;
  /** Once it returned, nothing is submitted until somebody resumes it. @throws schedule_unknown */
  pause(name: string): Promise<Schedule>;
  /** What was to run meanwhile is not made up for. @throws schedule_unknown */
  resume(name: string): Promise<Schedule>;
  /** Submits its command now, in the name of the actor, whatever its times are. @throws as submitting does */
  run(actor: string, name: string, options: Pick<SubmitInput, 'idempotencyKey' | 'within'>): Promise<Command>;
  /** The next times of a stored schedule, or of one that is not stored. @throws schedule_unknown, invalid_request */
  next(of: { name: string } | { timing: TimingInput }, count: number): Promise<Date[]>;
}
