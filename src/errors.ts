/**
 * The one catalogue of what can go wrong. An error is made here, travels as it is, and is turned into a
 * status of tRPC, gRPC, HTTP, a session's ERROR envelope or an exit code at the edges only.
 */

/** The broad class of an error; named after the gRPC status codes. */
export type ErrorKind =
  | 'invalid_argument'
  | 'unauthenticated'
  | 'permission_denied'
  | 'not_found'
  | 'already_exists'
  | 'failed_precondition'
  | 'resource_exhausted'
  | 'unavailable'
  | 'deadline_exceeded'
  | 'cancelled'
  | 'internal';

interface CatalogueEntry {
  kind: ErrorKind;
  /** The same request may succeed later. */
  retryable: boolean;
  log: 'debug' | 'info' | 'warn' | 'error';
  /** What an operator should do. */
  hint: string;
}

const entry = (
  kind: ErrorKind,
  retryable: boolean,
  log: CatalogueEntry['log'],
  hint: string,
): CatalogueEntry => ({
  kind,
  retryable,
  log,
  hint,
});

export const catalogue = {
  // What a caller got wrong.
  invalid_request: entry('invalid_argument', false, 'info', 'correct the field that the message names'),
  invalid_args: entry('invalid_argument', false, 'info', 'see `viworks verbs` for the args of the verb'),
  verb_unknown: entry('invalid_argument', false, 'info', 'see `viworks verbs` for the catalogue'),
  agent_unknown: entry('not_found', false, 'info', 'see `viworks agents` for the agents there are'),
  command_unknown: entry('not_found', false, 'info', 'see `viworks commands` for the history'),
  execution_unknown: entry('not_found', false, 'info', 'see `viworks commands get ID` for its executions'),
  approval_unknown: entry('not_found', false, 'info', 'see `viworks commands list --awaiting-approval`'),
  approval_state: entry('failed_precondition', false, 'info', 'see `viworks commands get` for who decided'),
  approval_own: entry(
    'permission_denied',
    false,
    'warn',
    'a second person decides, with a token of their own',
  ),
  command_state: entry('failed_precondition', false, 'info', 'see `viworks commands get` for its state'),
  rollout_unknown: entry('not_found', false, 'info', 'see `viworks rollouts` for the commands that are one'),
  rollout_state: entry('failed_precondition', false, 'info', 'see `viworks rollouts get` for its state'),
  template_unknown: entry('not_found', false, 'info', 'see `viworks templates` for the ones there are'),
  schedule_unknown: entry('not_found', false, 'info', 'see `viworks schedules` for the ones there are'),
  alert_unknown: entry('not_found', false, 'info', 'see `viworks alerts` for the ones there are'),
  alert_state: entry('failed_precondition', false, 'info', 'see `viworks alerts show` for its state'),
  alert_rule_unknown: entry('not_found', false, 'info', 'see `viworks alerts rules` for the ones there are'),
  silence_unknown: entry('not_found', false, 'info', 'see `viworks alerts silences` for those that count'),
  webhook_unknown: entry('not_found', false, 'info', 'see `viworks alerts webhooks` for the ones there are'),
  webhook_exists: entry('already_exists', false, 'info', 'remove it first, or choose another name'),
  dead_letter_unknown: entry(
    'not_found',
    false,
    'info',
    'see `viworks alerts dead-letters` for what there is',
  ),
  issuer_key_unknown: entry('not_found', false, 'info', 'see `viworks jwt-keys` for the ones there are'),
  revision_conflict: entry(
    'failed_precondition',
    false,
    'info',
    'read it again, and send the change with the revision it has now',
  ),
  command_key_unknown: entry('not_found', false, 'info', 'see `viworks keys list` for the ones there are'),
  command_key_state: entry('failed_precondition', false, 'info', 'see `viworks keys list` for their states'),
  not_authentic: entry(
    'failed_precondition',
    false,
    'error',
    'delete it and make it anew, and look for who writes into the database',
  ),
  certificate_unknown: entry('not_found', false, 'info', 'see `viworks certs list` for the ones there are'),
  certificate_state: entry('failed_precondition', false, 'info', 'see `viworks certs status` for how it is'),
  certificates_off: entry(
    'failed_precondition',
    false,
    'info',
    'set agent_management.client_certificates, or give an authority its key',
  ),
  endpoint_unknown: entry('not_found', false, 'info', 'see the documentation of the API for what there is'),
  no_target: entry('failed_precondition', false, 'info', 'the target selects no agent'),
  capability_missing: entry(
    'failed_precondition',
    false,
    'info',
    'choose agents that announce the capability',
  ),
  idempotency_conflict: entry(
    'already_exists',
    false,
    'info',
    'use a new idempotency key for another command',
  ),
  queue_full: entry('resource_exhausted', true, 'warn', 'wait, or raise command.max_command_queue_size'),
  message_too_large: entry('resource_exhausted', false, 'warn', 'send less in one message'),
  rate_limited: entry(
    'resource_exhausted',
    true,
    'debug',
    'wait as long as the answer says, or raise its limit',
  ),

  // Who a caller is, and what it may.
  unauthenticated: entry('unauthenticated', false, 'info', 'send a valid token'),
  authentication_failed: entry(
    'unauthenticated',
    false,
    'warn',
    'enrol the agent again if this is unexpected',
  ),
  enrollment_refused: entry('permission_denied', false, 'warn', 'make a new enrolment token'),
  permission_denied: entry('permission_denied', false, 'info', 'use a token with a role that may do this'),
  scope_exceeded: entry('permission_denied', false, 'warn', 'use a token that is not limited so'),
  server_untrusted: entry(
    'unauthenticated',
    false,
    'error',
    'something else than the control plane answers, or its key changed unannounced; compare `viworks certs pins`',
  ),
  agent_exists: entry('already_exists', false, 'info', 'make an enrolment token bound to this agent id'),

  agent_state: entry('failed_precondition', false, 'info', 'see `viworks agents get ID` for how it is'),
  agent_barred: entry(
    'failed_precondition',
    false,
    'warn',
    'see `viworks agents get ID` for why; an operator releases it or enrols it anew',
  ),
  enrollment_unknown: entry('not_found', false, 'info', 'see `viworks enrollments` for what there is'),
  enrollment_state: entry('failed_precondition', false, 'info', 'see `viworks enrollments` for how it is'),
  enrollment_requests_off: entry(
    'permission_denied',
    false,
    'info',
    'enrol with a token, or set agent_management.enrollment_requests',
  ),
  signature_invalid: entry(
    'permission_denied',
    false,
    'error',
    'somebody else than the control plane gave the order, or its keys changed; see `viworks keys list`',
  ),

  // What ends a session.
  superseded: entry('failed_precondition', false, 'info', 'another session of the same agent took over'),
  protocol_violation: entry('invalid_argument', false, 'warn', 'the agent does not follow the protocol'),
  version_unsupported: entry('failed_precondition', false, 'warn', 'update the agent'),
  draining: entry('unavailable', true, 'info', 'connect again'),
  connection_lost: entry('unavailable', true, 'info', 'the connection broke; a retry follows by itself'),
  seal_broken: entry(
    'unavailable',
    true,
    'warn',
    'something between agent and server changes, loses or repeats what they send',
  ),
  heartbeat_missed: entry('unavailable', true, 'info', 'look at the machine or the network between'),
  peer_too_slow: entry(
    'resource_exhausted',
    true,
    'warn',
    'the peer does not read; look at its load or the network',
  ),
  too_many_connections: entry(
    'resource_exhausted',
    true,
    'warn',
    'raise agent_management.max_agent_connections',
  ),

  // What is wrong with this set-up.
  config_invalid: entry('failed_precondition', false, 'error', 'correct the setting that the message names'),
  database_unavailable: entry('unavailable', true, 'error', 'look at the database'),
  database_in_use: entry('failed_precondition', false, 'error', 'stop the other instance'),
  unavailable: entry('unavailable', true, 'warn', 'try again'),
  deadline_exceeded: entry('deadline_exceeded', true, 'warn', 'try again'),
  cancelled: entry('cancelled', false, 'debug', 'the caller went away'),
  internal: entry('internal', false, 'error', 'a defect; the log has the cause'),
} satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof catalogue;

/** One field that is wrong and what would be right. */
export interface FieldProblem {
  /** Path as the caller wrote it, for example `args.argv`. */
  field: string;
  problem: string;
}

export interface ErrorOptions {
  fields?: FieldProblem[];
  /** Milliseconds after which a retry makes sense. */
  retryAfterMs?: number;
  /** Kept for the log, never shown to a caller. */
  cause?: unknown;
}

/** The only error that the code throws on purpose. Its message is safe to show to a caller. */
export class ViworksError extends Error {
  override readonly name = 'ViworksError';
  readonly code: ErrorCode;
  readonly fields: readonly FieldProblem[];
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.fields = options.fields ?? [];
    this.retryAfterMs = options.retryAfterMs;
  }

  get kind(): ErrorKind {
    return catalogue[this.code].kind;
  }

  get retryable(): boolean {
    return catalogue[this.code].retryable;
  }

  /** Makes whatever was thrown into an error of the catalogue; what is unknown becomes `internal`. */
  static from(thrown: unknown): ViworksError {
    if (thrown instanceof ViworksError) return thrown;
    return new ViworksError('internal', 'Something went wrong inside the server.', { cause: thrown });
  }
}

/** One wrong field; the message names it. */
export function invalidField(
  field: string,
  problem: string,
  code: ErrorCode = 'invalid_request',
): ViworksError {
  return new ViworksError(code, `${field}: ${problem}`, { fields: [{ field, problem }] });
}

/** The same error for whoever wrote the fields one level deeper, for example `args` as `command.args`. */
export function withFieldsUnder(parent: string, error: ViworksError): ViworksError {
  const [first] = error.fields;
  if (first === undefined) return error;
  const { code, message, cause, retryAfterMs } = error;
  const named = message.startsWith(`${first.field}:`);
  return new ViworksError(code, named ? `${parent}.${message}` : message, {
    fields: error.fields.map(({ field, problem }) => ({ field: `${parent}.${field}`, problem })),
    cause,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
