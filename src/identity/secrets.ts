import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ViworksError } from '../errors.ts';
import { generateKeyPair, type KeyPair, keyPairFromPem, keyPairToPem } from '../protocol/keys.ts';
import { secretBytes } from './secret-box.ts';

/** Secrets of this instance: given by configuration, or made at first start and kept with mode 0600. */
export interface Secrets {
  /** Identifies the server to its agents. */
  serverKey: KeyPair;
  /** Opens the keys that sign API tokens, and vouches for service tokens. */
  tokenSecret: Uint8Array;
  /** Opens the keys that sign commands, and vouches for what was submitted. */
  commandSecret: Uint8Array;
}

export interface SecretSources {
  dataDir: string;
  commandSecretPath?: string | undefined;
  serverKeyPath: string | undefined;
  tokenSecretPath?: string | undefined;
}

/** @throws config_invalid with the name of the setting */
export async function loadSecrets(sources: SecretSources): Promise<Secrets> {
  const { dataDir, serverKeyPath, tokenSecretPath } = sources;
  const folder = join(dataDir, 'keys');
  return {
    commandSecret: await loadRandom(
      'command_secret_path',
      sources.commandSecretPath,
      join(folder, 'command-secret'),
    ),
    serverKey: await loadServerKey(serverKeyPath, join(folder, 'server.pem')),
    tokenSecret: await loadRandom('token_secret_path', tokenSecretPath, join(folder, 'token-secret')),
  };
}

async function loadServerKey(path: string | undefined, ownPath: string): Promise<KeyPair> {
  const setting = path === undefined ? ownPath : `security.backend_private_key_path: ${path}`;
  try {
    const pem =
      path === undefined
        ? await readOrMake(ownPath, () => keyPairToPem(generateKeyPair()))
        : await readFile(path, 'utf8');
    return keyPairFromPem(pem);
  } catch (cause) {
    if (cause instanceof ViworksError && cause.code === 'config_invalid') throw cause;
    throw new ViworksError(
      'config_invalid',
      `${setting}: must be a readable Ed25519 private key (PKCS#8 PEM)`,
      {
        cause,
      },
    );
  }
}

/** A file with random bytes in base64; made where nobody says which. */
async function loadRandom(key: string, path: string | undefined, ownPath: string): Promise<Uint8Array> {
  const setting = path === undefined ? ownPath : `security.${key}: ${path}`;
  const unusable = (cause?: unknown) =>
    new ViworksError(
      'config_invalid',
      `${setting}: must be a readable file with at least ${secretBytes} random bytes in base64`,
      { cause },
    );
  const make = () => `${randomBytes(secretBytes).toString('base64')}\n`;
  const text =
    path === undefined
      ? await readOrMake(ownPath, make)
      : await readFile(path, 'utf8').catch((cause: unknown) => {
          throw unusable(cause);
        });
  const secret = base64In(text);
  if (secret === undefined || secret.byteLength < secretBytes) throw unusable();
  return secret;
}

/**
 * Undefined where the file holds anything else: a certificate or a key in PEM, named by mistake, would otherwise be read
 * around its other characters, and a secret that everybody has be believed.
 */
function base64In(text: string): Buffer | undefined {
  const written = text.replace(/\s/g, '');
  return /^[A-Za-z0-9+/]+={0,2}$/.test(written) ? Buffer.from(written, 'base64') : undefined;
}

async function readOrMake(path: string, make: () => string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT'))
      throw unreadable(path, error);
  }
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const text = make();
    // "wx": of two that start at once, the second one fails instead of changing the first one's secret.
    await writeFile(path, text, { mode: 0o600, flag: 'wx' });
    return text;
  } catch (error) {
    throw unreadable(path, error);
  }
}

const unreadable = (path: string, cause: unknown) =>
  new ViworksError('config_invalid', `server.data_dir: ${path} cannot be read or written`, { cause });
