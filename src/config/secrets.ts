/** Whether somebody chose a secret, or left that of an example. */

/** Words of examples and defaults; a secret made at random holds none of them. */
const placeholders =
  /change.?me|change.?in.?production|default|example|secret|password|passw0rd|insecure|development|test.?key|your.?/i;

/** Different characters in a secret; 32 random ones of hexadecimal have fewer in one of 10^5. */
const leastVariety = 10;

/** What is wrong with it, or undefined. Never repeats it. */
export function weaknessOf(secret: string): string | undefined {
  const advice = 'make one with `openssl rand -base64 48`';
  if (placeholders.test(secret)) return `is that of an example; ${advice}`;
  if (new Set(secret).size < leastVariety) return `is too easy to guess; ${advice}`;
  return undefined;
}

/** Passwords that come with images and tutorials of databases. */
const commonPasswords = new Set([
  '',
  'postgres',
  'viworks',
  'admin',
  'root',
  '123456',
  '12345678',
  'test',
  'dev',
  'local',
]);

export const isCommonPassword = (password: string): boolean =>
  commonPasswords.has(password.toLowerCase()) ||
  /change.?me|password|passw0rd|secret|example/i.test(password);
