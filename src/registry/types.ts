import type { JsonObject } from '@bufbuild/protobuf';
import type { Page, PageRequest } from '../lib/page.ts';

/** An agent is an enrolled identity on one machine. */

export const agentStatuses = ['online', 'degraded', 'offline', 'maintenance'] as const;
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
  /** Why it is in maintenance. */
  statusReason: string | undefined;
  /** Counts its enrolments. */
  incarnation: number;
  /** The fencing number of its newest session. */
  epoch: number;
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
   * @throws agent_unknown
   */
  setMaintenance(agentId: string, maintenance: boolean, reason: string): Promise<Agent>;
}
