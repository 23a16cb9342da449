import type { JsonObject } from '@bufbuild/protobuf';
import type { Page, PageRequest } from '../lib/page.ts';

/** An agent is an enrolled identity on one machine. */

export const agentStatuses = ['online', 'degraded', 'offline', 'maintenance', 'held', 'revoked'] as const;
export type AgentStatus = (typeof agentStatuses)[number];

export interface Agent {
  agentId: string;
  site: string;
  labels: Record<string, string>;
  capabilities: string[];
  software: string;
  hostname: string;
  os: string;
  kernel: string;
  architecture: string;
  containerEngine: string;
  status: AgentStatus;
  /** Why it is in maintenance, held or revoked. */
  statusReason: string | undefined;
  /** Counts its enrolments. */
  incarnation: number;
  /** The fencing number of its newest session. */
  epoch: number;
  /** The epoch of the newest session that the agent has confirmed to have stored. */
  generation: number;
  /** The fingerprint of the key that it uses; undefined where it is revoked. */
  keyId: string | undefined;
  lastSeenAt: Date | undefined;
  createdAt: Date;
  updatedAt: Date;
  /** Undefined while it is not connected. */
  connection: AgentConnection | undefined;
}

export interface AgentConnection {
  transport: string;
  remoteAddress: string;
  tls: boolean;
  connectedAt: Date;
}

/** Every field that is set must match. */
export interface AgentFilter {
  site?: string | undefined;
  status?: AgentStatus | undefined;
  capability?: string | undefined;
  labels?: Record<string, string> | undefined;
  os?: string | undefined;
  /** Any of these; set by what its caller is limited to. */
  sites?: readonly string[] | undefined;
}

/** What the API calls. */
export interface AgentService {
  list(filter: AgentFilter, page: PageRequest): Promise<Page<Agent>>;
  /** @throws agent_unknown */
  get(agentId: string): Promise<{ agent: Agent; telemetry: JsonObject | undefined }>;
  /**
   * In maintenance an agent stays connected and receives no commands; they wait as held.
   * @throws agent_unknown, agent_state where it is revoked
   */
  setMaintenance(agentId: string, maintenance: boolean, reason: string): Promise<Agent>;
  /**
   * Refuses the agent's keys from now on, ends its session and cancels what waits for it. Only a new enrolment
   * brings it back.
   * @throws agent_unknown
   */
  revoke(actor: string, agentId: string, reason: string): Promise<Agent>;
  /** Lets an agent that is held connect again; the copy that comes first is believed. @throws agent_unknown */
  release(actor: string, agentId: string): Promise<Agent>;
  /** Has the agent make itself a new key. @throws agent_unknown, agent_state where it is revoked */
  rotateKey(actor: string, agentId: string): Promise<Agent>;
  /** Takes a revoked agent out of the registry. @throws agent_unknown, agent_state where it is not revoked */
  remove(actor: string, agentId: string): Promise<void>;
}
