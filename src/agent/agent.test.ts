import { create, fromBinary } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import {
  ArgsEncoding,
  CancelSchema,
  CommandSchema,
  Result_Outcome,
} from '#gen/viworks/agent/v1/command_pb.js';
import { ExecArgsSchema, ExecResultSchema, SystemInfoResultSchema } from '#gen/viworks/verbs/v1/system_pb.js';
import { execCommand, startRig } from '../../test/support/agent-rig.ts';
import { commandFor, createScriptedServer } from '../../test/support/agent-server.ts';
import { ViworksError } from '../errors.ts';
import { newId } from '../lib/ids.ts';
import { defineExecutor, executorSet } from './executors/executor.ts';
import { createMemoryLedger } from './ledger.ts';

const { SUCCEEDED, FAILED, CANCELLED, TIMED_OUT, REJECTED, UNKNOWN } = Result_Outcome;
const cancelFor = (executionId: string, attempt = 1) =>
  ({ case: 'cancel', value: create(CancelSchema, { executionId, attempt }) }) as const;

test('a command runs and gives its result', async () => {
  const rig = startRig();
  const { connection } = await rig.server.open();
  const executionId = newId();
  connection.send(commandFor({ executionId }));
  const result = await connection.next('result');
  expect(result).toMatchObject({ executionId, outcome: SUCCEEDED, outputEncoding: ArgsEncoding.PROTOBUF });
  expect(result.startedAt).toBeDefined();
  expect(fromBinary(SystemInfoResultSchema, result.output).hostname).toBe('here');
  await connection.acknowledged(1n);
});

test('work that is not done at once is told to run, and what waits for it to be accepted', async () => {
  const rig = startRig({ concurrency: 1 });
  const { connection } = await rig.server.open();
  const [first, second] = [newId(), newId()];
  connection.send(execCommand(first));
  const work = await rig.begun.shift();
  rig.time.advance(10);
  expect(await connection.next('commandUpdate')).toMatchObject({
    executionId: first,
    attempt: 1,
    update: { case: 'running' },
  });
  connection.send(execCommand(second));
  expect(await connection.next('commandUpdate')).toMatchObject({
    executionId: second,
    update: { case: 'accepted' },
  });
  work.end();
  expect((await connection.next('result')).executionId).toBe(first);
});

test('a command is acknowledged and begun only when the ledger has it', async () => {
  const asked = Promise.withResolvers<void>();
  const written = Promise.withResolvers<void>();
  const ledger = createMemoryLedger();
  const order: string[] = [];
  const rig = startRig({
    ledger: {
      ...ledger,
      async started(...args) {
        await ledger.started(...args);
        asked.resolve();
        await written.promise;
        order.push('written');
      },
    },
  });
  const { connection } = await rig.server.open();
  connection.send(execCommand(newId()));
  await asked.promise;
  rig.time.advance(10_000);
  // The heartbeat leaves after the command came in, and carries no acknowledgement of it.
  expect((await connection.receive()).acknowledged).toBe(0n);
  expect(rig.begun.count).toBe(0);
  written.resolve();
  await rig.begun.shift();
  order.push('begun');
  await connection.acknowledged(1n);
  expect(order).toEqual(['written', 'begun']);
});

const wrong = { agentId: 'agent-2' };
test.each([
  ['another agent', wrong, 'wrong_audience'],
  ['another incarnation', { incarnation: 2 }, 'wrong_audience'],
  ['a time that has passed', { expiresAt: timestampFromMs(Date.UTC(2025, 0, 1)) }, 'expired'],
  ['a time to come', { notBefore: timestampFromMs(Date.UTC(2027, 0, 1)) }, 'not_yet_valid'],
  ['a verb there is not', { verb: 'no.verb' }, 'verb_unknown'],
  ['a verb of another machine', { verb: 'docker.ps' }, 'capability_missing'],
  ['args that break a rule', { verb: 'exec', args: new Uint8Array() }, 'invalid_args'],
  ['args that are no message', { verb: 'exec', args: new Uint8Array([255, 255]) }, 'invalid_args'],
  [
    'JSON that does not fit',
    { verb: 'exec', args: Buffer.from('{"argv":1}'), argsEncoding: ArgsEncoding.JSON },
    'invalid_args',
  ],
])('a command for %s is rejected', async (_, part, code) => {
  const rig = startRig();
  const { connection } = await rig.server.open();
  connection.send(commandFor(part));
  const result = await connection.next('result');
  expect(result).toMatchObject({ outcome: REJECTED, failure: { code } });
  await connection.acknowledged(1n);
});

test('args may come as JSON', async () => {
  const rig = startRig();
  const { connection } = await rig.server.open();
  connection.send(
    execCommand(newId(), { args: Buffer.from('{"argv":["a","b"]}'), argsEncoding: ArgsEncoding.JSON }),
  );
  expect((await rig.begun.shift()).argv).toEqual(['a', 'b']);
});

test('expiry goes by the clock of the server, whatever the clock of the machine says', async () => {
  const server = createScriptedServer();
  server.time += 24 * 3_600_000;
  const rig = startRig({ server });
  const { connection } = await server.open();
  const order = (inMs: number) =>
    execCommand(newId(), { expiresAt: timestampFromMs(server.time + inMs), timeout: durationFromMs(60_000) });
  connection.send(order(5_000));
  await rig.begun.shift();
  connection.send(order(-1_000));
  expect(await connection.next('result')).toMatchObject({ outcome: REJECTED, failure: { code: 'expired' } });
  rig.time.advance(5_000);
  connection.send(order(5_000));
  expect(await connection.next('result')).toMatchObject({ outcome: REJECTED, failure: { code: 'expired' } });
});

test('what waits on the agent for too long is not started', async () => {
  const rig = startRig({ concurrency: 1 });
  const { connection } = await rig.server.open();
  connection.send(execCommand(newId(), { timeout: durationFromMs(60_000) }));
  const executionId = newId();
  connection.send(execCommand(executionId, { expiresAt: timestampFromMs(rig.server.time + 5_000) }));
  const work = await rig.begun.shift();
  await connection.acknowledged(2n);
  rig.time.advance(5_000);
  work.end();
  await connection.next('result');
  const late = { executionId, outcome: REJECTED, failure: { code: 'expired' } };
  expect(await connection.next('result')).toMatchObject(late);
  expect(rig.begun.count).toBe(1);
});

test('an executor that does not heed its signal is given up', async () => {
  const deaf = defineExecutor(ExecArgsSchema, ExecResultSchema, () => new Promise(() => {}));
  const rig = startRig({ executors: executorSet([deaf]) });
  const { connection } = await rig.server.open();
  connection.send(execCommand(newId(), { timeout: durationFromMs(1_000) }));
  await connection.acknowledged(1n);
  rig.time.advance(1_000 + 10_000);
  expect(await connection.next('result')).toMatchObject({ outcome: TIMED_OUT });
});

test('whatever an executor throws becomes a failure that tells nothing private', async () => {
  const broken = defineExecutor(ExecArgsSchema, ExecResultSchema, () => Promise.reject(new Error('secret')));
  const rig = startRig({ executors: executorSet([broken]) });
  const { connection } = await rig.server.open();
  connection.send(execCommand(newId()));
  const { outcome, failure } = await connection.next('result');
  expect([outcome, failure?.code]).toEqual([FAILED, 'internal']);
  expect(failure?.message).not.toContain('secret');
});

test('an outcome that cannot travel fails its execution, and the next one is run', async () => {
  const odd = { exitCode: 2 ** 40, failure: { code: 'x' } as { code: string; message: string } };
  const broken = defineExecutor(ExecArgsSchema, ExecResultSchema, () => Promise.resolve(odd));
  const rig = startRig({ executors: executorSet([broken]), concurrency: 1 });
  const { connection } = await rig.server.open();
  for (let n = 0; n < 2; n++) {
    connection.send(execCommand(newId()));
    const { outcome, failure } = await connection.next('result');
    expect([outcome, failure?.code]).toEqual([FAILED, 'internal']);
  }
});

test('a result that is too large for a message is a failure', async () => {
  const data = new Uint8Array(800 * 1024);
  const large = defineExecutor(ExecArgsSchema, ExecResultSchema, () =>
    Promise.resolve({ exitCode: 0, stdout: { data, totalBytes: data.byteLength, truncated: false } }),
  );
  const rig = startRig({ executors: executorSet([large]) });
  const { connection } = await rig.server.open();
  connection.send(execCommand(newId()));
  expect(await connection.next('result')).toMatchObject({
    outcome: FAILED,
    failure: { code: 'result_too_large' },
  });
});

test('a body that cannot be read is refused by its sequence', async () => {
  const rig = startRig();
  const { connection } = await rig.server.open();
  connection.send({ case: 'command', value: create(CommandSchema, { body: new Uint8Array([255]) }) });
  expect(await connection.next('error')).toMatchObject({
    code: 'invalid_request',
    fatal: false,
    sequence: 1n,
  });
  await connection.acknowledged(1n);
  expect(rig.agent.state.name).toBe('open');
});

test('a command that does not verify is refused unread', async () => {
  const rig = startRig({
    verifyCommand: () => {
      throw new ViworksError('signature_invalid', 'The signature is wrong.');
    },
  });
  const { connection } = await rig.server.open();
  connection.send(execCommand(newId()));
  expect(await connection.next('error')).toMatchObject({ code: 'signature_invalid', sequence: 1n });
  expect(rig.begun.count).toBe(0);
});

test('a repeated command never runs twice: while it runs, after it ended, after it was settled', async () => {
  const rig = startRig();
  const { connection } = await rig.server.open();
  connection.acknowledge = false;
  const executionId = newId();
  connection.send(execCommand(executionId));
  const work = await rig.begun.shift();
  connection.send(execCommand(executionId));
  for (const step of ['accepted', 'running'])
    expect((await connection.next('commandUpdate')).update.case).toBe(step);
  work.end({ exitCode: 4, failure: { code: 'exit_code', message: 'm' } });
  expect(await connection.next('result')).toMatchObject({ outcome: FAILED, exitCode: 4 });
  connection.send(execCommand(executionId));
  expect(await connection.next('result')).toMatchObject({ outcome: FAILED, exitCode: 4 });
  connection.acknowledgeNow();
  connection.send(execCommand(executionId));
  expect(await connection.next('result')).toMatchObject({
    outcome: UNKNOWN,
    failure: { code: 'already_reported' },
  });
  await connection.acknowledged(4n);
  expect(rig.begun.count).toBe(1);
});

test('a result is repeated in later sessions until it is acknowledged', async () => {
  const rig = startRig();
  const first = await rig.server.open();
  first.connection.acknowledge = false;
  const executionId = newId();
  first.connection.send(execCommand(executionId));
  (await rig.begun.shift()).end();
  await first.connection.next('result');
  first.connection.cut();
  await rig.state('waiting');
  rig.time.advance(1_000);
  const second = await rig.server.open();
  expect(second.offer.executions).toMatchObject([{ executionId, phase: 2 }]);
  await second.connection.next('result');
  second.connection.acknowledgeNow();
  second.connection.send({ case: 'credit', value: {} });
  await second.connection.acknowledged(1n);
  second.connection.cut();
  await rig.state('waiting');
  rig.time.advance(60_000);
  expect((await rig.server.open()).offer.executions).toEqual([]);
});

test('more than the granted credit is refused, and beyond the concurrency it waits', async () => {
  const rig = startRig({ executionCredit: 2, concurrency: 1 });
  const { connection } = await rig.server.open();
  const [first, second, third] = [newId(), newId(), newId()];
  for (const id of [first, second, third]) connection.send(execCommand(id));
  expect(await connection.next('result')).toMatchObject({
    executionId: third,
    outcome: REJECTED,
    failure: { code: 'resource_exhausted' },
  });
  const work = await rig.begun.shift();
  expect(rig.begun.count).toBe(1);
  work.end();
  expect(await connection.next('result')).toMatchObject({ executionId: first });
  (await rig.begun.shift()).end();
  expect(await connection.next('result')).toMatchObject({ executionId: second });
});

test('cancel ends what runs, takes back what waits, and turns away what comes later', async () => {
  const rig = startRig({ concurrency: 1 });
  const { connection } = await rig.server.open();
  const [running, waiting, unseen] = [newId(), newId(), newId()];
  connection.send(execCommand(running));
  connection.send(execCommand(waiting));
  const work = await rig.begun.shift();
  connection.send(cancelFor(waiting));
  expect(await connection.next('result')).toMatchObject({ executionId: waiting, outcome: CANCELLED });
  connection.send(cancelFor(running));
  expect(await connection.next('result')).toMatchObject({ executionId: running, outcome: CANCELLED });
  expect(work.signal.reason).toBe('cancelled');
  connection.acknowledge = false;
  connection.send(cancelFor(unseen));
  const early = { executionId: unseen, outcome: CANCELLED, failure: { code: 'not_started' } };
  expect(await connection.next('result')).toMatchObject(early);
  connection.send(execCommand(unseen));
  expect(await connection.next('result')).toMatchObject(early);
  expect(rig.begun.count).toBe(1);
});

test('the time limit ends it', async () => {
  const rig = startRig();
  const { connection } = await rig.server.open();
  connection.send(execCommand(newId(), { timeout: durationFromMs(1_500) }));
  const work = await rig.begun.shift();
  rig.time.advance(1_499);
  expect(work.signal.aborted).toBe(false);
  rig.time.advance(1);
  expect(await connection.next('result')).toMatchObject({ outcome: TIMED_OUT, failure: { code: 'timeout' } });
});
