import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/**
 * Metrics are the figures by which an operator sees how the service does, in the text format of Prometheus.
 * All instruments are named here, so that one file tells what a dashboard can ask for. Hot paths resolve
 * their labels once and keep the child.
 */

/** Seconds, from a local write to something that a person notices. */
const latencyBuckets = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

export interface Metrics {
  readonly contentType: string;
  /** The text that `/metrics` answers. */
  render(): Promise<string>;
  agentConnections: Gauge<'transport'>;
  agents: Gauge<'status'>;
  agentsHeld: Counter;
  agentsSlowed: Counter;
  agentsSlowedNow: Gauge;
  commandsSubmitted: Counter<'verb'>;
  commandsDeleted: Counter;
  commandsRefused: Counter<'code'>;
  executionsForged: Counter;
  rowsForged: Counter<'table'>;
  executionsFinished: Counter<'state'>;
  rolloutsTurned: Counter<'state'>;
  scheduleRuns: Counter<'outcome'>;
  commandSubmitSeconds: Histogram;
  executionRoundtripSeconds: Histogram;
  batchRows: Histogram<'writer'>;
  envelopes: Counter<'direction' | 'kind'>;
  telemetrySamples: Counter<'outcome'>;
  telemetryMarked: Counter<'mark'>;
  telemetryDropped: Counter;
  telemetryStoreSeconds: Histogram;
  telemetryRollups: Counter;
  telemetryRollupLagSeconds: Gauge;
  telemetryPartitionsDropped: Counter;
  apiRequests: Counter<'surface' | 'operation' | 'code'>;
  databasePoolConnections: Gauge<'state'>;
  auditSealed: Counter;
  auditSealSeconds: Histogram;
  auditRefusalsCounted: Counter;
  auditEntriesLost: Counter;
  auditHeadsLost: Counter;
  auditDeleted: Counter;
  alertsOpen: Gauge;
  alertTransitions: Counter<'state'>;
  alertSamplesSkipped: Counter;
  alertDeliveries: Counter<'outcome'>;
}

/** A registry of its own: two instances in one process, as in tests, do not see each other's figures. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  return {
    contentType: registry.contentType,
    render: () => registry.metrics(),
    agentConnections: new Gauge({
      name: 'viworks_agent_connections',
      help: 'Open connections of agents to this instance.',
      labelNames: ['transport'],
      registers,
    }),
    agents: new Gauge({
      name: 'viworks_agents',
      help: 'Enrolled agents.',
      labelNames: ['status'],
      registers,
    }),
    agentsHeld: new Counter({
      name: 'viworks_agents_held_total',
      help: 'Agents that were held because two copies of them were seen.',
      registers,
    }),
    agentsSlowed: new Counter({
      name: 'viworks_agents_slowed_total',
      help: 'Times that an agent was not read for a moment because it says more than it may.',
      registers,
    }),
    agentsSlowedNow: new Gauge({
      name: 'viworks_agents_slowed',
      help: 'Agents that are not read at this moment because they say more than they may.',
      registers,
    }),
    commandsSubmitted: new Counter({
      name: 'viworks_commands_submitted_total',
      help: 'Commands that were accepted and are durable.',
      labelNames: ['verb'],
      registers,
    }),
    commandsDeleted: new Counter({
      name: 'viworks_commands_deleted_total',
      help: 'Finished commands that were kept for as long as they had to be, and are deleted.',
      registers,
    }),
    commandsRefused: new Counter({
      name: 'viworks_commands_refused_total',
      help: 'Commands that agents refused because they could not verify or read them.',
      labelNames: ['code'],
      registers,
    }),
    executionsForged: new Counter({
      name: 'viworks_executions_forged_total',
      help: 'Executions in the database that were not submitted here, or altered since, and were not sent.',
      registers,
    }),
    rowsForged: new Counter({
      name: 'viworks_rows_forged_total',
      help: 'Schedules and templates in the database that were not saved here, or altered since, and were not run.',
      labelNames: ['table'],
      registers,
    }),
    executionsFinished: new Counter({
      name: 'viworks_executions_finished_total',
      help: 'Executions that reached a final state.',
      labelNames: ['state'],
      registers,
    }),
    rolloutsTurned: new Counter({
      name: 'viworks_rollouts_turned_total',
      help: 'Rollouts that were paused, stopped, aborted or completed.',
      labelNames: ['state'],
      registers,
    }),
    scheduleRuns: new Counter({
      name: 'viworks_schedule_runs_total',
      help: 'Times of schedules that came, by what became of them: submitted, refused, overlapped or missed.',
      labelNames: ['outcome'],
      registers,
    }),
    commandSubmitSeconds: new Histogram({
      name: 'viworks_command_submit_seconds',
      help: 'From the call of submit to its commit.',
      buckets: latencyBuckets,
      registers,
    }),
    executionRoundtripSeconds: new Histogram({
      name: 'viworks_execution_roundtrip_seconds',
      help: 'From the submit of a command to the commit of an execution’s result.',
      buckets: [...latencyBuckets, 60, 600],
      registers,
    }),
    batchRows: new Histogram({
      name: 'viworks_batch_rows',
      help: 'Rows that one batch wrote.',
      labelNames: ['writer'],
      buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000],
      registers,
    }),
    envelopes: new Counter({
      name: 'viworks_envelopes_total',
      help: 'Envelopes exchanged with agents.',
      labelNames: ['direction', 'kind'],
      registers,
    }),
    telemetrySamples: new Counter({
      name: 'viworks_telemetry_samples_total',
      help: 'Samples that agents sent: stored, duplicate (stored before), or set_aside because they break the rules.',
      labelNames: ['outcome'],
      registers,
    }),
    telemetryMarked: new Counter({
      name: 'viworks_telemetry_marked_total',
      help: 'Stored samples that came late, or skewed: with a time that the server does not believe.',
      labelNames: ['mark'],
      registers,
    }),
    telemetryDropped: new Counter({
      name: 'viworks_telemetry_dropped_total',
      help: 'Samples that agents had to drop, as they say: more than an agent keeps waited, or for too long.',
      registers,
    }),
    telemetryStoreSeconds: new Histogram({
      name: 'viworks_telemetry_store_seconds',
      help: 'From the arrival of telemetry to its commit.',
      buckets: latencyBuckets,
      registers,
    }),
    telemetryRollups: new Counter({
      name: 'viworks_telemetry_rollups_total',
      help: 'Roll-ups of telemetry that were made, or made anew.',
      registers,
    }),
    telemetryRollupLagSeconds: new Gauge({
      name: 'viworks_telemetry_rollup_lag_seconds',
      help: 'For how long the oldest roll-up has waited that is due.',
      registers,
    }),
    telemetryPartitionsDropped: new Counter({
      name: 'viworks_telemetry_partitions_dropped_total',
      help: 'Partitions of telemetry that were kept for as long as they had to be, and are dropped.',
      registers,
    }),
    apiRequests: new Counter({
      name: 'viworks_api_requests_total',
      help: 'Calls of the API by their outcome: ok, or the code of the error.',
      labelNames: ['surface', 'operation', 'code'],
      registers,
    }),
    databasePoolConnections: new Gauge({
      name: 'viworks_db_pool_connections',
      help: 'Connections of the pool to PostgreSQL.',
      labelNames: ['state'],
      registers,
    }),
    auditSealed: new Counter({
      name: 'viworks_audit_sealed_total',
      help: 'Entries of the audit log that this instance sealed into the chain.',
      registers,
    }),
    auditSealSeconds: new Histogram({
      name: 'viworks_audit_seal_seconds',
      help: 'From the time of the oldest entry of a block to its sealing.',
      buckets: [0.1, 0.25, 0.5, 1, 2, 5, 10, 60, 600],
      registers,
    }),
    auditRefusalsCounted: new Counter({
      name: 'viworks_audit_refusals_counted_total',
      help: 'Refusals that are in the audit log as part of a count, not as an entry of their own.',
      registers,
    }),
    auditEntriesLost: new Counter({
      name: 'viworks_audit_entries_lost_total',
      help: 'Refusals and arrivals that could not be kept: too many, or the database was away too long.',
      registers,
    }),
    auditHeadsLost: new Counter({
      name: 'viworks_audit_heads_lost_total',
      help: 'Times that the end of the audit log was not there any more: it was cut off, or the database is an older one.',
      registers,
    }),
    auditDeleted: new Counter({
      name: 'viworks_audit_deleted_total',
      help: 'Entries of the audit log that were kept for as long as they had to be, and are deleted.',
      registers,
    }),
    alertsOpen: new Gauge({
      name: 'viworks_alerts_open',
      help: 'Alerts that are not resolved, those that are pending among them.',
      registers,
    }),
    alertTransitions: new Counter({
      name: 'viworks_alert_transitions_total',
      help: 'Alerts that were written, by the state that they were in then.',
      labelNames: ['state'],
      registers,
    }),
    alertSamplesSkipped: new Counter({
      name: 'viworks_alert_samples_skipped_total',
      help: 'Samples that no rule looked at because newer ones of the same agent waited behind them.',
      registers,
    }),
    alertDeliveries: new Counter({
      name: 'viworks_alert_deliveries_total',
      help: 'Attempts to deliver a message to a webhook: delivered, failed, or given up.',
      labelNames: ['outcome'],
      registers,
    }),
  };
}
