import { createHash } from 'node:crypto';
import { invalidField } from '../../errors.ts';
import { allowsVerb, describeScope, narrows } from '../../lib/scope.ts';
import { canonicalJson, findUnstorable, isDeeperThan } from '../../lib/text.ts';
import { wireLimits } from '../../protocol/limits.ts';
import { argsFromJson } from '../../protocol/verb-values.ts';
import type { VerbCatalogue, VerbSpec } from '../../protocol/verbs.ts';
import { type ApprovalPolicy, needsApproval } from '../approvals/decide.ts';
import { planOf, rolloutTimeToLiveMs } from '../rollouts/decide.ts';
import type { RolloutPlan } from '../rollouts/types.ts';
import type { CommandSpec, SubmitInput } from '../types.ts';

export interface SpecDefaults {
  /** What can be asked for. */
  verbs: VerbCatalogue;
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
  const verb = defaults.verbs.get(input.verb);
  if (verb === undefined) {
    throw invalidField(
      'verb',
      `unknown verb ${JSON.stringify(input.verb)}${suggestion(defaults.verbs, input.verb)}`,
      'verb_unknown',
    );
  }
  if (isDeeperThan(wireLimits.jsonLevels, input.args)) {
    throw invalidField('args', `must have at most ${wireLimits.jsonLevels} levels`, 'invalid_args');
  }
  const unstorable = findUnstorable(input.args ?? {});
  if (unstorable !== undefined)
    throw invalidField(`args.${unstorable}`, 'must be text without NUL', 'invalid_args');
  if (input.within !== undefined && !allowsVerb(input.within, verb.name)) {
    const problem = `${verb.name} is not a verb of this token (${describeScope(input.within)})`;
    throw invalidField('verb', problem, 'scope_exceeded');
  }
  const { target, idempotencyKey, correlationId } = input;
  const field = findUnstorable({ target, idempotencyKey, correlationId });
  if (field !== undefined) throw invalidField(field, 'must be text without NUL');
  const { args, bytes: argsBytes } = argsFromJson(verb, input.args ?? {});
  if (argsBytes.byteLength > wireLimits.argsBytes) {
    throw invalidField('args', `must be at most ${wireLimits.argsBytes} bytes, serialised`, 'invalid_args');
  }
  const rollout = input.rollout && planOf(input.rollout);
  const longest = rollout === undefined ? 0 : rolloutTimeToLiveMs;
  const spec: CommandSpec = {
    verb: verb.name,
    args,
    target: input.target,
    priority: input.priority ?? 'normal',
    timeoutMs: input.timeoutMs ?? defaults.timeoutMs ?? verb.defaultTimeoutMs,
    timeToLiveMs: input.timeToLiveMs ?? Math.max(defaults.timeToLiveMs, longest),
    maxRetries: input.maxRetries ?? defaults.maxRetries ?? 0,
    origin: input.origin,
    idempotencyKey: input.idempotencyKey || undefined,
    correlationId: input.correlationId || undefined,
  };
  // The same key under other limits is for another command.
  const limits = narrows(input.within) && { within: input.within };
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
            .update(canonicalJson({ ...spec, ...(rollout && { rollout }), ...limits }))
            .digest(),
  };
}

/** The catalogue's nearest name, for a typing error. */
function suggestion(verbs: VerbCatalogue, name: string): string {
  const near = verbs.names.find((known) => known.startsWith(name) || known.endsWith(name));
  return near === undefined ? `; the verbs are: ${verbs.names.join(', ')}` : `; did you mean ${near}?`;
}
