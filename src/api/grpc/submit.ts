import { durationMs } from '@bufbuild/protobuf/wkt';
import type {
  AgentSelector as AgentSelectorMessage,
  CommandSpec,
  Target as TargetMessage,
} from '#gen/viworks/control/v1/command_pb.js';
import type { AgentSelector, SubmitInput, Target } from '../../commands/types.ts';
import { ViworksError } from '../../errors.ts';
import { submitInput } from '../schemas/commands.ts';
import { invalidRequest } from '../schemas/problems.ts';
import { priorityOf, statusOf, unlessEmpty } from './convert.ts';
import { planNames, readPlan } from './rollout-convert.ts';

/**
 * Reads a CommandSpec by the same schema as tRPC's input, so that both surfaces have the same bounds.
 * @throws invalid_request, with the core's names of fields
 */
export function readSpec(spec: CommandSpec | undefined): SubmitInput {
  const parsed = submitInput.safeParse({
    verb: spec?.verb,
    args: spec?.args ?? {},
    target: readTarget(spec?.target),
    priority: spec && priorityOf(spec.priority),
    timeoutMs: spec?.timeout && Math.ceil(durationMs(spec.timeout)),
    timeToLiveMs: spec?.timeToLive && Math.ceil(durationMs(spec.timeToLive)),
    idempotencyKey: spec?.idempotencyKey || undefined,
    correlationId: spec?.correlationId || undefined,
    maxRetries: spec?.maxRetries,
    rollout: spec?.rollout && readPlan(spec.rollout),
  });
  if (!parsed.success) throw invalidRequest(parsed.error);
  return parsed.data;
}

export function readTarget(message: TargetMessage | undefined): Target | undefined {
  const target = message?.target;
  const anyOne = message?.anyOne ? { anyOne: true as const } : {};
  switch (target?.case) {
    case 'agents':
      return { agents: target.value.agentIds, ...anyOne };
    case 'site':
      return { site: target.value, ...anyOne };
    case 'all':
      return { all: true, ...anyOne };
    case 'selector':
      return { selector: readSelector(target.value), ...anyOne };
    default:
      return undefined;
  }
}

function readSelector(message: AgentSelectorMessage): AgentSelector {
  return {
    sites: unlessEmpty(message.sites),
    capabilities: unlessEmpty(message.capabilities),
    labels: Object.keys(message.labels).length === 0 ? undefined : message.labels,
    os: unlessEmpty(message.os),
    statuses: unlessEmpty(message.statuses.flatMap((status) => statusOf(status) ?? [])),
  };
}

const protoNames: readonly (readonly [core: string, proto: string])[] = [
  ['target.agents', 'target.agents.agent_ids'],
  ['timeoutMs', 'timeout'],
  ['timeToLiveMs', 'time_to_live'],
  ['idempotencyKey', 'idempotency_key'],
  ['correlationId', 'correlation_id'],
  ['maxRetries', 'max_retries'],
  ...planNames,
];

/** The same error with the fields named as in SubmitCommandRequest, where the caller wrote them. */
export const inSpec = (thrown: unknown): ViworksError =>
  withFieldsNamed(thrown, (field) => `spec.${specField(field)}`);

/** The same error with its fields named as the caller of gRPC wrote them. */
export function withFieldsNamed(thrown: unknown, nameOf: (field: string) => string): ViworksError {
  const error = ViworksError.from(thrown);
  if (error.fields.length === 0) return error;
  const fields = error.fields.map(({ field, problem }) => ({ field: nameOf(field), problem }));
  const [before, after] = [error.fields[0]?.field ?? '', fields[0]?.field ?? ''];
  const message = error.message.startsWith(`${before}:`)
    ? after + error.message.slice(before.length)
    : error.message;
  const { code, retryAfterMs, cause } = error;
  return new ViworksError(code, message, {
    fields,
    cause,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

/** A field of a command as CommandSpec and CommandDraft name it. */
export function specField(field: string): string {
  const match = protoNames.find(([core]) => field === core || field.startsWith(`${core}[`));
  return match === undefined ? field : match[1] + field.slice(match[0].length);
}
