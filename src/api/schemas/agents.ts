import { z } from 'zod';
import { type Agent, agentStatuses } from '../../registry/types.ts';
import {
  agentIdSchema,
  countSchema,
  jsonObjectSchema,
  labelsSchema,
  nextPageToken,
  optionalTimeView,
  pageInput,
  reasonSchema,
  siteSchema,
  timeSchema,
  timeView,
} from './common.ts';

export const agentStatusSchema = z.enum(agentStatuses);

const agentSchema = z.strictObject({
  agentId: z.string(),
  site: z.string(),
  labels: z.record(z.string(), z.string()),
  capabilities: z.array(z.string()),
  software: z.string(),
  hostname: z.string(),
  os: z.string(),
  kernel: z.string(),
  architecture: z.string(),
  containerEngine: z.string(),
  status: agentStatusSchema,
  /** Why it is in maintenance, held or revoked. */
  statusReason: z.string().optional(),
  incarnation: countSchema,
  epoch: countSchema,
  /** The epoch of the newest session that the agent has confirmed to have stored. */
  generation: countSchema,
  /** The fingerprint of the key that it uses; absent where it is revoked. */
  keyId: z.string().optional(),
  lastSeenAt: timeSchema.optional(),
  createdAt: timeSchema,
  updatedAt: timeSchema,
  /** Absent while it is not connected. */
  connection: z
    .strictObject({
      transport: z.string(),
      remoteAddress: z.string(),
      tls: z.boolean(),
      connectedAt: timeSchema,
    })
    .optional(),
});
export type AgentView = z.output<typeof agentSchema>;

export function agentView(agent: Agent): AgentView {
  const { lastSeenAt, createdAt, updatedAt, connection, ...rest } = agent;
  return {
    ...rest,
    lastSeenAt: optionalTimeView(lastSeenAt),
    createdAt: timeView(createdAt),
    updatedAt: timeView(updatedAt),
    connection: connection && { ...connection, connectedAt: timeView(connection.connectedAt) },
  };
}

/** Every field that is set must match. */
export const agentFilterSchema = z.strictObject({
  site: siteSchema.optional(),
  status: agentStatusSchema.optional(),
  capability: z.string().max(128).optional(),
  labels: labelsSchema.optional(),
  os: z.string().max(128).optional(),
});

export const listAgentsInput = z
  .strictObject({
    filter: agentFilterSchema.default({}),
    ...pageInput,
  })
  .prefault({});
export const listAgentsOutput = z.strictObject({ agents: z.array(agentSchema), nextPageToken });

export const getAgentInput = z.strictObject({ agentId: agentIdSchema });
export const getAgentOutput = z.strictObject({
  agent: agentSchema,
  /** The latest telemetry sample, as viworks.agent.v1.Sample in JSON. */
  telemetry: jsonObjectSchema.optional(),
});

export const setAgentStatusInput = z.strictObject({
  agentId: agentIdSchema,
  /** In maintenance an agent stays connected and receives no commands. */
  maintenance: z.boolean(),
  reason: reasonSchema.default(''),
});
export const setAgentStatusOutput = z.strictObject({ agent: agentSchema });

export const revokeAgentInput = z.strictObject({
  agentId: agentIdSchema,
  reason: reasonSchema.default(''),
});
export const agentIdInput = z.strictObject({ agentId: agentIdSchema });
export const agentOutput = z.strictObject({ agent: agentSchema });
export const removeAgentOutput = z.strictObject({});
