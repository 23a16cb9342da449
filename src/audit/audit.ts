import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import type { KeyPair } from '../protocol/keys.ts';
import type { Database } from '../storage/database.ts';
import { type AuditRetention, createAuditRetention } from './retention.ts';
import { createSealer, type Sealer } from './sealer.ts';
import { createAuditService } from './service.ts';
import { type AuditTrail, createAuditTrail } from './trail.ts';
import type { AuditService } from './types.ts';
import type { Witness } from './witness.ts';

/** The audit log put together: how entries come in, the chain over them, what can be asked, what is forgotten. */
export interface Audit {
  trail: AuditTrail;
  service: AuditService;
  sealer: Pick<Sealer, 'seal'>;
  retention: Pick<AuditRetention, 'clean'>;
  start(): void;
  /** Resolves when everything is written and sealed. */
  stop(): Promise<void>;
}

export interface AuditDeps {
  database: Database;
  /** Signs blocks: the server's identity. */
  key: KeyPair;
  witness: Witness;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  /** Milliseconds that an entry is kept; 0 keeps it for ever. */
  keepMs: number;
  /** Milliseconds between blocks. */
  sealIntervalMs?: number | undefined;
}

const defaultSealIntervalMs = 500;

export function createAudit(deps: AuditDeps): Audit {
  const { key, sealIntervalMs: intervalMs = defaultSealIntervalMs } = deps;
  const keys = new Map([[key.keyId, key.publicKey]]);
  const trail = createAuditTrail(deps);
  const sealer = createSealer({ ...deps, trail, intervalMs });
  const retention = createAuditRetention({ ...deps, trail, keys });
  return {
    trail,
    sealer,
    retention,
    service: createAuditService({ ...deps, keys }),
    start() {
      trail.start();
      sealer.start();
      retention.start();
    },
    async stop() {
      await retention.stop();
      await trail.stop();
      await sealer.stop();
    },
  };
}
