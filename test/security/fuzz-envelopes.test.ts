import { create, type MessageInitShape } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { ViworksError } from '../../src/errors.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { newId, newIdBytes } from '../../src/lib/ids.ts';
import { decodeBinary, decodeJson, encodeBinary, encodeJson } from '../../src/protocol/envelope.ts';
import { type Core, startCore } from '../support/app-core.ts';
import { connected, enrolled, type FakeAgent } from '../support/fake-agent.ts';
import { fuzz, fuzzTimeout, mutated } from '../support/fuzz.ts';
import { memory } from '../support/memory.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { openRawSession } from '../support/raw-session.ts';

/** Envelopes that are nearly right, and bytes that are nothing: nothing breaks, and nothing is taken for what it is not. */

let database: TestDatabase;
let core: Core;
let agent: FakeAgent;

beforeAll(async () => {
  database = await createTestDatabase();
  core = await startCore(database.url, { clock: { ...systemClock, advance: () => {} } });
  agent = await enrolled(core, 'fuzzed');
});

afterAll(async () => {
  await core.stop();
  await database.drop();
});

type Body = NonNullable<MessageInitShape<typeof EnvelopeSchema>['body']>;

const executionId = newId();
const bodies: Body[] = [
  { case: 'hello', value: { offer: new Uint8Array(40) } },
  { case: 'challenge', value: { terms: new Uint8Array(40), signature: new Uint8Array(64), keyId: 'k' } },
  { case: 'proof', value: { statement: new Uint8Array(9), signature: new Uint8Array(64) } },
  { case: 'welcome', value: { sessionId: newId(), epoch: 3n } },
  { case: 'command', value: { body: new Uint8Array(60) } },
  { case: 'cancel', value: { executionId, attempt: 1, reason: 'enough' } },
  { case: 'commandUpdate', value: { executionId, attempt: 1, update: { case: 'accepted', value: {} } } },
  {
    case: 'commandUpdate',
    value: {
      executionId,
      attempt: 1,
      update: { case: 'output', value: { stream: 1, offset: 7n, data: Buffer.from('some output') } },
    },
  },
  {
    case: 'result',
    value: {
      executionId,
      attempt: 1,
      outcome: 1,
      exitCode: 0,
      output: Buffer.from('{"a":1}'),
      outputEncoding: 2,
      stdout: { data: Buffer.from('out'), totalBytes: 3n },
      failure: { code: 'failed', message: 'it failed' },
      startedAt: { seconds: 1_700_000_000n, nanos: 5 },
    },
  },
  { case: 'telemetry', value: { samples: [{ number: 1n, takenAt: { seconds: 1_700_000_000n, nanos: 1 } }] } },
  { case: 'heartbeat', value: { running: 3 } },
  { case: 'credit', value: { executions: 5 } },
  { case: 'drain', value: { reason: 'stops' } },
  { case: 'error', value: { code: 'signature_invalid', message: 'no', sequence: 1n } },
  { case: 'sealed', value: { ciphertext: new Uint8Array(60) } },
  { case: 'sessionToken', value: { token: 'token' } },
];
const envelopes: Envelope[] = bodies.map((body, n) =>
  create(EnvelopeSchema, {
    messageId: newIdBytes(),
    sequence: BigInt(n % 3),
    acknowledged: BigInt(n % 2),
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    body,
  }),
);
const good = envelopes.map(encodeBinary);

/** What reading ended with: an envelope, or a refusal of the catalogue. */
function readOr<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    expect(error).toBeInstanceOf(ViworksError);
    expect((error as ViworksError).code).toMatch(/^(protocol_violation|message_too_large)$/);
    return undefined;
  }
}

test(
  'bytes are an envelope, which can be written and read again, or a violation',
  () => {
    fc.assert(
      fc.property(fc.oneof(mutated(good), fc.uint8Array({ maxLength: 2000 })), (bytes) => {
        const message = readOr(() => decodeBinary(bytes));
        if (message === undefined) return;
        const written = encodeBinary(message);
        expect(encodeBinary(decodeBinary(written))).toEqual(written);
      }),
      fuzz(20_000),
    );
  },
  fuzzTimeout,
);

test(
  'a text is an envelope or a violation',
  () => {
    const texts = envelopes.map((message) => Buffer.from(encodeJson(message)));
    const anything = fc.oneof(
      mutated(texts).map((bytes) => Buffer.from(bytes).toString()),
      fc.json(),
      fc.string({ unit: 'binary', maxLength: 500 }),
    );
    fc.assert(
      fc.property(anything, (text) => void readOr(() => decodeJson(text))),
      fuzz(5_000),
    );
  },
  fuzzTimeout,
);

test('groups and messages within messages do not go deeper than the stack', () => {
  for (const unit of [[0x0b], [0x0a, 0x7f], [0x12, 0xff, 0x7f]]) {
    const bytes = Buffer.concat(new Array(100_000).fill(Buffer.from(unit)));
    readOr(() => decodeBinary(bytes.subarray(0, 1024 * 1024)));
  }
  readOr(() => decodeJson('{"hello":'.repeat(100_000)));
  readOr(() => decodeJson('['.repeat(1_000_000)));
});

test(
  'a session that says whatever goes on or ends, and harms nobody',
  async () => {
    const said = fc.array(
      fc.oneof(
        { weight: 4, arbitrary: mutated(good) },
        { weight: 1, arbitrary: fc.uint8Array({ maxLength: 500 }) },
      ),
      { minLength: 1, maxLength: 20 },
    );
    const { session: other } = await connected(core, 'bystander');
    const before = memory();
    await fc.assert(
      fc.asyncProperty(said, async (messages) => {
        const session = await openRawSession(core, agent);
        for (const message of messages) session.write(message);
        expect(await session.settled()).toMatch(/^(open|ended)$/);
        session.end();
      }),
      fuzz(200),
    );
    await other.beat();
    expect(memory() - before).toBeLessThan(48 * 1024 * 1024);
    // Nothing that was said made an execution, an agent or a command.
    expect(await core.count('executions')).toBe(0);
    expect(await core.count('commands')).toBe(0);
    expect(await core.count('agents')).toBe(2);
  },
  fuzzTimeout,
);
