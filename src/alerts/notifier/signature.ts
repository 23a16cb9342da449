import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';

/**
 * Messages are signed as Standard Webhooks says (standardwebhooks.com, version 1), so that receivers need no code of
 * their own: HMAC-SHA-256 over id, time and body. The time is in the signed text, so that an old message cannot be
 * sent again as a new one.
 */

const secretPrefix = 'whsec_';
const secretForm = /^whsec_([A-Za-z0-9+/]+={0,2})$/;

export const newSecret = (): string => secretPrefix + randomBytes(32).toString('base64');

/** The key of a secret; undefined where it is none: 24 to 64 bytes in base64 behind the prefix. */
export function secretKey(secret: string): KeyObject | undefined {
  const text = secretForm.exec(secret)?.[1];
  if (text === undefined) return undefined;
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length < 24 || bytes.length > 64 || bytes.toString('base64') !== text) return undefined;
  // With its bytes instead of a KeyObject each signature would take five times as long.
  return createSecretKey(bytes);
}

/** @param at milliseconds since 1970 */
export function signedHeaders(key: KeyObject, id: string, at: number, body: string): Record<string, string> {
  const timestamp = String(Math.floor(at / 1000));
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
}
