import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { ViworksError } from '../../errors.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import { createTicker } from '../../lib/ticker.ts';

/** A listener's certificate and key in files of the operator's, which may change while they are used. */
export interface TlsFiles {
  readonly current: TlsIdentity;
  onChange(listener: () => void): () => void;
  /** @param refuse why a certificate that fits must not be used, if there is a reason */
  start(refuse?: RefuseCertificate): void;
  stop(): Promise<void>;
}

export type RefuseCertificate = (certificate: X509Certificate) => string | undefined;

/** PEM. */
export interface TlsIdentity {
  cert: string;
  key: string;
}

/** What a listener shows, and what it asks for. */
export interface ListenerTls extends TlsIdentity {
  /**
   * PEM of authorities whose certificates clients may show; absent: none is asked for. A client that shows another
   * one, or none, is let in all the same: what a certificate is worth is decided where it is known who shows it.
   */
  clientAuthorities?: readonly string[] | undefined;
}

export interface TlsFilesOptions {
  certificatePath: string;
  keyPath: string;
  intervalMs?: number;
  clock: Clock;
  log: Logger;
}

/** They are read again and not watched: what replaces files does it in many ways, often through links. */
const usualIntervalMs = 10_000;

/** @throws config_invalid where they cannot be read */
export async function openTlsFiles(options: TlsFilesOptions): Promise<TlsFiles> {
  const { certificatePath, keyPath, clock, log, intervalMs = usualIntervalMs } = options;
  let current = await read(certificatePath, keyPath);
  /** What was refused last, and why: it is judged at every look, and spoken of once. */
  let refused: (TlsIdentity & { problem: string }) | undefined;
  const listeners = new Set<() => void>();
  let refuse: RefuseCertificate = () => undefined;

  async function look(): Promise<void> {
    const found = await read(certificatePath, keyPath);
    if (same(found, current)) return;
    const problem = problemOf(found, clock.now()) ?? refuse(new X509Certificate(found.cert));
    if (problem !== undefined) {
      const spoken = refused !== undefined && same(found, refused) && refused.problem === problem;
      refused = { ...found, problem };
      if (!spoken)
        log.error({ certificatePath, problem }, 'the new certificate is not used; the one before stays');
      return;
    }
    refused = undefined;
    current = found;
    log.info(
      { certificatePath, until: new X509Certificate(found.cert).validToDate },
      'a new certificate is used',
    );
    for (const listener of listeners) listener();
  }

  const ticker = createTicker({
    intervalMs,
    work: look,
    failed: (err) =>
      log.warn({ err: ViworksError.from(err) }, 'the files of the certificate cannot be read now'),
  });
  return {
    get current() {
      return current;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    start(refuseSome = refuse) {
      refuse = refuseSome;
      ticker.start();
    },
    stop: ticker.stop,
  };
}

const same = (one: TlsIdentity, other: TlsIdentity): boolean =>
  one.cert === other.cert && one.key === other.key;

async function read(certificatePath: string, keyPath: string): Promise<TlsIdentity> {
  try {
    const [cert, key] = await Promise.all([readFile(certificatePath, 'utf8'), readFile(keyPath, 'utf8')]);
    return { cert, key };
  } catch (cause) {
    throw new ViworksError('config_invalid', `${certificatePath} or ${keyPath} cannot be read.`, { cause });
  }
}

/** One of the two may have been replaced a moment before the other. */
function problemOf({ cert, key }: TlsIdentity, now: number): string | undefined {
  try {
    const certificate = new X509Certificate(cert);
    if (!certificate.checkPrivateKey(createPrivateKey(key))) return 'the key is not that of the certificate';
    if (certificate.validToDate.getTime() <= now) return 'it has expired';
    if (certificate.validFromDate.getTime() > now) return 'it is not valid yet';
    return undefined;
  } catch {
    return 'the certificate or its key cannot be read';
  }
}
