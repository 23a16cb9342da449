import type { Sample } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { type Alerts, createAlerts } from '../alerts/alerts.ts';
import type { ObservedSample } from '../alerts/samples.ts';
import { createSecretBox } from '../identity/secret-box.ts';
import { readStoredSample } from '../protocol/stored-sample.ts';
import type { AgentService } from '../registry/types.ts';
import type { StoredSample } from '../storage/sample-rows.ts';
import type { Foundation } from './foundation.ts';

/** Rules over what agents measure and over who is connected, and who is told. */
export async function composeAlerts(foundation: Foundation): Promise<Alerts> {
  const { config, clock, log, metrics, database, trail, secrets, resources } = foundation;
  const { group_quiet, group_window, retention, max_attempts, allow_clear_text } = config.alerts;
  const alerts = createAlerts({
    database,
    // Under a label of its own: what it seals opens with nothing else that the secret is used for.
    box: createSecretBox(secrets.commandSecret, 'alerts'),
    clock,
    log,
    metrics,
    audit: trail,
    settings: {
      keepMs: Math.round(retention * 86_400_000),
      quietMs: Math.round(group_quiet * 1000),
      windowMs: Math.round(group_window * 1000),
      attempts: max_attempts,
      clearText: allow_clear_text,
    },
  });
  await alerts.start();
  resources.add('alerts', alerts.stop);
  return alerts;
}

/**
 * A stored sample as alerts look at it. One that did not wait is of now, however wrong the agent's clock is, and none
 * is from the future: it would hide what comes until then.
 */
export function observed({
  agentId,
  at,
  receivedAt,
  waited,
  superseded = 0,
  sample: bytes,
}: StoredSample): ObservedSample {
  let sample: Sample | undefined;
  const measured = () => {
    sample ??= readStoredSample(bytes);
    return sample;
  };
  const late = waited ?? measured().late;
  return { agentId, at: (late && at < receivedAt ? at : receivedAt).getTime(), late, superseded, measured };
}

/** Alerts are told of agents that operators change. */
export function withAlerts(agents: AgentService, { onAgent }: Pick<Alerts, 'onAgent'>): AgentService {
  const told =
    <Args extends unknown[], T>(
      agentIdOf: (...args: Args) => string,
      change: (...args: Args) => Promise<T>,
    ) =>
    async (...args: Args): Promise<T> => {
      const result = await change(...args);
      onAgent(agentIdOf(...args));
      return result;
    };
  return {
    ...agents,
    setMaintenance: told((agentId) => agentId, agents.setMaintenance),
    revoke: told((_actor, agentId) => agentId, agents.revoke),
    release: told((_actor, agentId) => agentId, agents.release),
    remove: told((_actor, agentId) => agentId, agents.remove),
  };
}
