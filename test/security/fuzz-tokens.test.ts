import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ViworksError } from '../../src/errors.ts';
import { clientNetwork } from '../../src/lib/addresses.ts';
import { generateKeyPair } from '../../src/protocol/keys.ts';
import { type ApiApp, startApiApp } from '../support/api-app.ts';
import { type Core, startCore } from '../support/app-core.ts';
import { enrollRequest } from '../support/fake-agent.ts';
import { fuzz, fuzzTimeout, mutated } from '../support/fuzz.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

/** Tokens that are nearly right, and headers that are no token: none is believed, and none breaks anything. */

let app: ApiApp;
let database: TestDatabase;
let core: Core;

beforeAll(async () => {
  app = await startApiApp();
  database = await createTestDatabase();
  core = await startCore(database.url);
});

afterAll(async () => {
  await app.stop();
  await core.stop();
  await database.drop();
});

const asText = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

/** What a header may hold (RFC 9110, 5.5); others are refused before a token is looked for. */
const headerText = (text: string): string => text.replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, '');

async function statusOf(authorization: string): Promise<number> {
  const response = await fetch(`${app.url}/trpc/agents.list`, {
    headers: { authorization: headerText(authorization) },
  });
  const text = await response.text();
  expect(text).not.toMatch(/stack|node_modules|\.ts:/);
  return response.status;
}

test(
  'a token of the API that is not exactly one that was given',
  async () => {
    const given = [
      await app.tokenFor('admin'),
      (await (await app.client()).tokens.create.mutate({ name: 'fuzz', role: 'viewer', rateLimit: 0 })).token,
    ];
    /** The same signature in other letters is the same token: the last one carries bits that mean nothing. */
    const isGiven = (text: string) =>
      given.some((token) =>
        token
          .split('.')
          .every((part, n) =>
            Buffer.from(part, 'base64url').equals(Buffer.from(text.trim().split('.')[n] ?? '', 'base64url')),
          ),
      );
    const good = given.map((token) => Buffer.from(token));
    const scheme = fc.constantFrom('Bearer ', 'bearer  ', 'Basic ', 'Bearer\t', '');
    const text = fc.oneof(
      mutated(good).map(asText),
      fc.uint8Array({ maxLength: 200 }).map(asText),
      fc.json().map((json) => `${Buffer.from(json).toString('base64url')}.e30.x`),
    );
    await fc.assert(
      fc.asyncProperty(scheme, text, async (name, token) => {
        fc.pre(!isGiven(headerText(token)));
        expect(await statusOf(name + token)).toBe(401);
      }),
      fuzz(400),
    );
    expect(await statusOf(`Bearer ${given[0]}`)).toBe(200);
  },
  fuzzTimeout,
);

test(
  'an enrolment with a token, a name or a key that is not right',
  async () => {
    const key = generateKeyPair();
    const { token } = await core.enrollment.create('test', {
      site: 'fuzz',
      labels: {},
      uses: 1_000_000,
      lifetimeMs: 600_000,
    });
    const text = fc.oneof(mutated([Buffer.from(token)]).map(asText), fc.string({ maxLength: 80 }));
    await fc.assert(
      fc.asyncProperty(text, fc.boolean(), async (other, signedAnew) => {
        fc.pre(other !== token);
        // Signed for what it says, or for the token that is right.
        const request = signedAnew
          ? enrollRequest(other, 'fuzzed', key)
          : { ...enrollRequest(token, 'fuzzed', key), token: other };
        const answer: unknown = await core.enrollment.enroll(request).catch((thrown: unknown) => thrown);
        expect(answer).toBeInstanceOf(ViworksError);
        expect((answer as ViworksError).code).toMatch(/^(enrollment_refused|invalid_request)$/);
      }),
      fuzz(300),
    );
    await fc.assert(
      fc.asyncProperty(
        mutated([key.publicKey]),
        mutated([new Uint8Array(64)]),
        async (publicKey, signature) => {
          const request = { ...enrollRequest(token, 'fuzzed', key), publicKey, signature };
          const answer: unknown = await core.enrollment.enroll(request).catch((thrown: unknown) => thrown);
          expect(answer).toBeInstanceOf(ViworksError);
          expect((answer as ViworksError).code).toMatch(/^(enrollment_refused|invalid_request)$/);
        },
      ),
      fuzz(300),
    );
    expect(await core.count('agents')).toBe(0);
  },
  fuzzTimeout,
);

test('an address of any text has a network of a few letters', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV6(), fc.ipV4(), fc.string({ maxLength: 60 })), (text) => {
      expect(clientNetwork(text).length).toBeLessThanOrEqual(60);
    }),
    fuzz(2_000),
  );
});
