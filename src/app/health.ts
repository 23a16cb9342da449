import { createHealthReports } from '../health/reports.ts';
import type { HealthReports } from '../health/types.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Foundation } from './foundation.ts';

/** How agents are. @param intervalMs between two samples, as agents are told now */
export const composeHealthReports = (
  { config, database, clock }: Foundation,
  { latest, history }: Pick<Telemetry, 'latest' | 'history'>,
  intervalMs: () => number,
): HealthReports =>
  createHealthReports({
    database,
    clock,
    latest,
    history,
    settings: { intervalMs, anomalies: config.telemetry.anomaly_detection },
  });
