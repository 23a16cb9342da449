import type { KeyObject } from 'node:crypto';
import type { AuditTrail } from '../../audit/trail.ts';
import type { Bus } from '../../bus/bus.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import type { KeyPair } from '../../protocol/keys.ts';
import type { Database } from '../../storage/database.ts';
import type { ServerCertificateSource } from './server-certificate.ts';
import type { ClientCertificates } from './types.ts';

/** What certificates are made of. */

export interface CertificateSettings {
  clientCertificates: ClientCertificates;
  /** Milliseconds that a certificate of an agent is good for. */
  lifetimeMs: number;
  trustDomain: string;
  server: ServerCertificateSource;
  /** Further keys that the server may have one day. */
  backupPins: readonly Uint8Array[];
  /** An operator's authorities in place of our own: the first one issues, where its key is here. */
  ownAuthorities?: { certificates: readonly Uint8Array[]; key: KeyObject | undefined } | undefined;
}

export interface CertificateDeps {
  database: Database;
  bus: Bus;
  serverKey: KeyPair;
  /** The command secret. */
  secret: Uint8Array;
  settings: CertificateSettings;
  clock: Clock;
  log: Logger;
  audit: Pick<AuditTrail, 'tell' | 'append'>;
  /** Milliseconds between looks at what other instances changed and what is due. */
  lookMs?: number;
}
