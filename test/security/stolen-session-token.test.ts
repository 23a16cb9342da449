import { expect, test } from 'vitest';
import { createSessionTokens, type TokenUse } from '../../src/identity/session-tokens.ts';
import { generateKeyPair, type KeyPair, signBytes } from '../../src/protocol/keys.ts';
import { sessionTokenInput } from '../../src/protocol/signed.ts';
import { createTestClock } from '../support/app-core.ts';
import { ownCore } from '../support/app-core-own.ts';
import { connected } from '../support/fake-agent.ts';
import { startWatchedAgent } from '../support/watched-agent.ts';

/** A session token in other hands: it names a session, and is no authority. */

const content = new TextEncoder().encode('renew');
const refused = expect.objectContaining({
  code: 'authentication_failed',
  message: 'The agent could not be authenticated.',
});

function use(key: KeyPair, token: string, counter: bigint, part: Partial<TokenUse> = {}): TokenUse {
  const asked = { token, purpose: 'test', counter, content, ...part };
  const signature = signBytes(
    key,
    sessionTokenInput(asked.token, asked.purpose, asked.counter, asked.content),
  );
  return { ...asked, signature, ...part };
}

function held() {
  const clock = createTestClock();
  const tokens = createSessionTokens(clock);
  const key = generateKeyPair();
  const holder = { sessionId: 's-1', agentId: 'web-1', epoch: 3, publicKey: key.publicKey };
  return { clock, tokens, key, holder, granted: tokens.issue(holder) };
}

test('its holder uses it again and again', () => {
  const { tokens, key, holder, granted } = held();
  expect(tokens.check(use(key, granted.token, 1n))).toEqual(holder);
  expect(tokens.check(use(key, granted.token, 2n))).toEqual(holder);
  expect(tokens.check(use(key, granted.token, 900n))).toEqual(holder);
});

test('without the key it is worth nothing', () => {
  const { tokens, granted } = held();
  expect(() => tokens.check(use(generateKeyPair(), granted.token, 1n))).toThrow(refused);
  const none = { ...use(generateKeyPair(), granted.token, 1n), signature: new Uint8Array(0) };
  expect(() => tokens.check(none)).toThrow(refused);
});

test('a use that was overheard is worth nothing a second time, or for anything else', () => {
  const { tokens, key, granted } = held();
  const overheard = use(key, granted.token, 5n);
  tokens.check(overheard);
  expect(() => tokens.check(overheard)).toThrow(refused);
  for (const part of [{ counter: 6n }, { purpose: 'other' }, { content: Uint8Array.of(1) }]) {
    expect(() => tokens.check({ ...overheard, counter: 7n, ...part })).toThrow(refused);
  }
  expect(() => tokens.check(use(key, granted.token, 4n))).toThrow(refused);
  expect(() => tokens.check(use(key, granted.token, 2n ** 64n - 1n, { counter: 2n ** 64n }))).toThrow();
});

test('it ends after a quarter of an hour, and with its session', () => {
  const { clock, tokens, key, granted } = held();
  expect(granted.expiresAt - clock.now()).toBeLessThanOrEqual(900_000);
  clock.advance(899_999);
  tokens.check(use(key, granted.token, 1n));
  clock.advance(1);
  expect(() => tokens.check(use(key, granted.token, 2n))).toThrow(refused);
  const other = held();
  other.tokens.end('s-1');
  expect(() => other.tokens.check(use(other.key, other.granted.token, 1n))).toThrow(refused);
  expect(other.tokens.renew('s-1')).toBeUndefined();
});

test('the next one comes before it ends; no more than two are good, and uses count on', () => {
  const { clock, tokens, key, granted } = held();
  expect(granted.renewAt).toBeLessThan(clock.monotonic() + 900_000);
  tokens.check(use(key, granted.token, 5n));
  const second = tokens.renew('s-1')?.token ?? '';
  expect(() => tokens.check(use(key, second, 5n))).toThrow(refused);
  tokens.check(use(key, second, 6n));
  tokens.check(use(key, granted.token, 7n));
  const third = tokens.renew('s-1')?.token ?? '';
  expect(() => tokens.check(use(key, granted.token, 8n))).toThrow(refused);
  tokens.check(use(key, third, 8n));
});

test('a session has one from WELCOME on and gets the next in time; nobody on the way sees it', async () => {
  const { start } = await ownCore({ limits: { heartbeatIntervalMs: 3_600_000 } });
  const core = await start();
  const { agent, session } = await connected(core, 'plain');
  const { sessionToken, sessionTokenExpiresAt, sessionId } = session.welcome;
  const asked = use(agent.key, sessionToken, 1n);
  expect(core.sessionTokens.check(asked)).toMatchObject({ sessionId, agentId: 'plain', epoch: 1 });
  expect(Number(sessionTokenExpiresAt?.seconds)).toBeLessThanOrEqual(core.clock.now() / 1000 + 900);
  core.clock.advance(700_000);
  const next = await session.next('sessionToken');
  expect(next.token).not.toBe(sessionToken);
  core.clock.advance(700_000);
  expect(() => core.sessionTokens.check(use(agent.key, sessionToken, 2n))).toThrow(refused);
  core.sessionTokens.check(use(agent.key, next.token, 2n));
  session.close();
  await session.closed;
  await expect
    .poll(() => {
      try {
        core.sessionTokens.check(use(agent.key, next.token, 3n + BigInt(Date.now())));
        return 'good';
      } catch {
        return 'refused';
      }
    })
    .toBe('refused');

  const sealed = await startWatchedAgent(core, 'sealed');
  await sealed.state('open');
  expect(sealed.came.map(({ body }) => body.case)).not.toContain('welcome');
});
