import type { Page, PageRequest } from '../lib/page.ts';
import type { Scope } from '../lib/scope.ts';
import type { Verdict } from './approvals/decide.ts';
import type {
  Command,
  CommandFilter,
  CommandPlan,
  Execution,
  OutputRange,
  OutputStream,
  RetryOptions,
  Statistics,
  StatisticsQuery,
  SubmitInput,
  WatchEvent,
} from './types.ts';

/** What the API calls. */
export interface CommandService {
  /**
   * Returns when the command is durable; when it throws, nothing is stored.
   * @param actor who asks, for the record
   * @throws verb_unknown, invalid_args, agent_unknown, no_target, capability_missing, idempotency_conflict,
   * queue_full, database_unavailable
   */
  submit(actor: string, input: SubmitInput): Promise<Command>;
  /** @throws command_unknown */
  get(commandId: string, page: PageRequest): Promise<{ command: Command; executions: Page<Execution> }>;
  /** Newest first. */
  list(filter: CommandFilter, page: PageRequest): Promise<Page<Command>>;
  /**
   * What submit would do now, without doing it: which agents, what each would get at once, and why not the others.
   * @throws as submit
   */
  plan(input: SubmitInput): Promise<CommandPlan>;
  /** Asks every execution that is not final to stop. Repeating it changes nothing. @throws command_unknown */
  cancel(actor: string, commandId: string, reason: string): Promise<Command>;
  /**
   * First what is known, then each change as it is committed; ends when the command is done or the signal
   * aborts. After a break, the last cursor goes on without a gap; a change near the break may come twice,
   * with the same revision, and output with the same offset. @throws command_unknown
   */
  watch(commandId: string, cursor: string | undefined, signal: AbortSignal): AsyncIterable<WatchEvent>;
  /**
   * Lets a command go, or ends it, which waits for a second person. Repeating one's own decision changes nothing.
   * @throws command_unknown, approval_unknown, approval_state, approval_own
   */
  decide(actor: string, commandId: string, verdict: Verdict, reason: string): Promise<Command>;
  /**
   * Submits a finished command again, for the agents on which it did not succeed.
   * @throws command_unknown, command_state, and as submit
   */
  retry(actor: string, commandId: string, options: RetryOptions): Promise<Command>;
  /** Figures over commands of a span of time, at most a thousand groups, the largest first. @throws invalid_request */
  statistics(query: StatisticsQuery): Promise<Statistics[]>;
  /** Whether a caller who is limited so may see the command; false if there is none. */
  mayWatch(scope: Scope, commandId: string): Promise<boolean>;
  /** Whether such a caller may see the execution; false if there is none. */
  mayRead(scope: Scope, executionId: string): Promise<boolean>;
  /** Bytes of one stream from an offset on, at most so many. @throws execution_unknown, invalid_request */
  output(executionId: string, stream: OutputStream, offset: number, limit: number): Promise<OutputRange>;
}
