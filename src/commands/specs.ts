import { createHash } from 'node:crypto';
import { fromJson, type JsonObject, type Message, toBinary, toJson } from '@bufbuild/protobuf';
import { invalidField, ViworksError } from '../errors.ts';
import { canonicalJson, findUnstorable } from '../lib/text.ts';
import { wireLimits } from '../protocol/limits.ts';
import { assertValid } from '../protocol/validation.ts';
import { type VerbSpec, verbCatalogue, verbMessages } from '../protocol/verbs.ts';
import { type ApprovalPolicy, needsApproval } from './approval.ts';
import { planOf, rolloutTimeToLiveMs } from './rollout-state.ts';
import type { RolloutPlan } from './rollout-types.ts';
import type { CommandSpec, SubmitInput } from './types.ts';

export interface SpecDefaults {
  timeToLiveMs: number;
  /** In place of each verb’s own. */
  timeoutMs?: number | undefined;
  /** Further attempts after one that failed; 0 if it is not set. */
  maxRetries?: number | undefined;
  /** Which verbs wait for a second person; `destructive` if it is not set. */
  approval?: ApprovalPolicy | undefined;
}

export interface CheckedSpec {
  spec: CommandSpec;
  /** Where it goes to its agents in steps. */
  rollout: RolloutPlan | undefined;
  verb: VerbSpec;
  needsApproval: boolean;
  argsBytes: Uint8Array;
  /** SHA-256 of everything that was asked, where there is an idempotency key to hold it to. */
  digest: Uint8Array | undefined;
}

/**
 * Turns what a caller handed in into a complete specification with args in their exact form.
 * @throws verb_unknown, invalid_args; the message names the field
 */
export function checkSpec(input: SubmitInput, defaults: SpecDefaults): CheckedSpec {
  const verb = verbCatalogue.get(input.verb);
  if (verb === undefined) {
    throw invalidField(
      'verb',
      `unknown verb ${JSON.stringify(input.verb)}${suggestion(input.verb)}`,
      'verb_unknown',
    );
  }
  const unstorable = findUnstorable(input.args ?? {});
  if (unstorable !== undefined)
    throw invalidField(`args.${unstorable}`, 'must be text without NUL', 'invalid_args');
  const { target, idempotencyKey, correlationId } = input;
  const field = findUnstorable({ target, idempotencyKey, correlationId });
  if (field !== undefined) throw invalidField(field, 'must be text without NUL');
  const message = parseArgs(verb, input.args ?? {});
  assertValid(verb.args, message, 'invalid_args', 'args.');
  const argsBytes = toBinary(verb.args, message);
  if (argsBytes.byteLength > wireLimits.argsBytes) {
    throw invalidField('args', `must be at most ${wireLimits.argsBytes} bytes, serialised`, 'invalid_args');
  }
  const rollout = input.rollout && planOf(input.rollout);
  const longest = rollout === undefined ? 0 : rolloutTimeToLiveMs;
  const spec: CommandSpec = {
    verb: verb.name,
    args: toJson(verb.args, message, { registry: verbMessages }) as JsonObject,
    target: input.target,
    priority: input.priority ?? 'normal',
    timeoutMs: input.timeoutMs ?? defaults.timeoutMs ?? verb.defaultTimeoutMs,
    timeToLiveMs: input.timeToLiveMs ?? Math.max(defaults.timeToLiveMs, longest),
    maxRetries: input.maxRetries ?? defaults.maxRetries ?? 0,
    origin: input.origin,
    idempotencyKey: input.idempotencyKey || undefined,
    correlationId: input.correlationId || undefined,
  };
  return {
    spec,
    rollout,
    verb,
    needsApproval: needsApproval(defaults.approval ?? 'destructive', verb.risk),
    argsBytes,
    digest:
      spec.idempotencyKey === undefined
        ? undefined
        : createHash('sha256')
            .update(canonicalJson(rollout === undefined ? spec : { ...spec, rollout }))
            .digest(),
  };
}

function parseArgs(verb: VerbSpec, args: JsonObject): Message {
  try {
    return fromJson(verb.args, args, { registry: verbMessages });
  } catch (error) {
    const known = verb.args.fields.map((field) => field.name).join(', ') || 'none';
    const unknown = Object.keys(args).find(
      (key) => !verb.args.fields.some((f) => f.name === key || f.jsonName === key),
    );
    if (unknown !== undefined) {
      throw invalidField(
        `args.${unknown}`,
        `${verb.name} has no such field; its fields are: ${known}`,
        'invalid_args',
      );
    }
    const field = fieldOf(error);
    const path = field === undefined ? 'args' : `args.${field}`;
    const problem =
      error instanceof Error
        ? error.message.replace(/^cannot decode (message|field) \S+ from JSON: /, '')
        : '';
    throw new ViworksError('invalid_args', `${path}: ${problem}`, {
      fields: [{ field: path, problem }],
      cause: error,
    });
  }
}

/** protobuf-es names the field in its message: "cannot decode field viworks.verbs.v1.ExecArgs.argv from JSON: …". */
function fieldOf(error: unknown): string | undefined {
  const match = error instanceof Error ? /field \S+\.([a-z0-9_]+)/.exec(error.message) : null;
  return match?.[1];
}

/** The catalogue's nearest name, for a typing error. */
function suggestion(name: string): string {
  const near = [...verbCatalogue.keys()].find((known) => known.startsWith(name) || known.endsWith(name));
  return near === undefined
    ? `; the verbs are: ${[...verbCatalogue.keys()].join(', ')}`
    : `; did you mean ${near}?`;
}
