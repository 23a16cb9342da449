import type { Config } from '../config/schema.ts';
import type { TelemetrySettings } from '../telemetry/telemetry.ts';

const dayMs = 86_400_000;

export const telemetrySettingsOf = (telemetry: Config['telemetry']): TelemetrySettings => ({
  keepMs: telemetry.retention * dayMs,
  keepRollupsMs: telemetry.rollup_retention * dayMs,
  intervalMs: Math.round(telemetry.collection_interval * 1000),
});
