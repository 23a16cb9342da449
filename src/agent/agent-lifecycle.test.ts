import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Result_Outcome } from '#gen/viworks/agent/v1/command_pb.js';
import { DrainSchema } from '#gen/viworks/agent/v1/flow_pb.js';
import { SampleSchema, TelemetryTermsSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { type AgentRig, execCommand, startRig } from '../../test/support/agent-rig.ts';
import { createScriptedServer, type ScriptedConnection } from '../../test/support/agent-server.ts';
import { readSamples } from '../../test/support/samples.ts';
import { newId } from '../lib/ids.ts';
import { silentLogger } from '../lib/logger.ts';
import { openLedger } from './ledger.ts';

const { SUCCEEDED, FAILED, REJECTED, UNKNOWN } = Result_Outcome;

async function newLedgerFile(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'viworks-agent-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return join(dir, 'ledger.jsonl');
}

test('after a crash what had begun is unknown, what waited was not started, and neither runs again', async () => {
  const file = await newLedgerFile();
  const [begun, waited, ended] = [newId(), newId(), newId()];
  const before = await openLedger(file, { log: silentLogger });
  await Promise.all([
    before.started(begun, 1, 1n),
    before.accepted(waited, 1, 1n),
    before.started(ended, 1, 1n),
  ]);
  await before.close();
  const ledger = await openLedger(file, { log: silentLogger });
  onTestFinished(() => ledger.close());
  const server = createScriptedServer();
  const rig = startRig({ server, ledger });
  const { connection, offer } = await server.open();
  const phases = Object.fromEntries(offer.executions.map(({ executionId, phase }) => [executionId, phase]));
  expect(phases).toEqual({ [begun]: 3, [waited]: 2, [ended]: 3 });
  const results = new Map<string, { outcome: Result_Outcome; code: string | undefined }>();
  while (results.size < 3) {
    const { executionId, outcome, failure } = await connection.next('result');
    results.set(executionId, { outcome, code: failure?.code });
  }
  expect(results.get(begun)).toEqual({ outcome: UNKNOWN, code: 'agent_restarted' });
  expect(results.get(waited)).toEqual({ outcome: REJECTED, code: 'agent_restarted' });
  connection.send(execCommand(begun));
  expect(await connection.next('result')).toMatchObject({ executionId: begun, outcome: UNKNOWN });
  expect(rig.begun.count).toBe(0);
});

test('an execution whose line cannot be written is refused, and does not run', async () => {
  const ledger = await openLedger(await newLedgerFile(), { log: silentLogger });
  const rig = startRig({ ledger });
  const { connection } = await rig.server.open();
  await ledger.close();
  connection.send(execCommand(newId()));
  expect(await connection.next('result')).toMatchObject({
    outcome: REJECTED,
    failure: { code: 'ledger_unavailable' },
  });
  expect(rig.begun.count).toBe(0);
});

describe('telemetry', () => {
  const collect = () => Promise.resolve(create(SampleSchema, { takenAt: timestampFromMs(0) }));
  const quiet = { heartbeatInterval: durationFromMs(3_600_000) };
  const samples = async (from: ScriptedConnection) => {
    const taken = readSamples(await from.next('telemetry'));
    return taken.map(({ number, late }) => (late ? `${number} late` : `${number}`));
  };
  /** Lets what is taken be kept: it is planned after that when the next one is due. */
  const pass = async (rig: AgentRig, ...steps: number[]) => {
    for (const ms of steps) {
      rig.time.advance(ms);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };

  test('goes at once and at the interval, within the credit, and is repeated until acknowledged', async () => {
    const rig = startRig({ collect });
    const { connection } = await rig.server.open({ telemetryCredit: 1, ...quiet });
    connection.acknowledge = false;
    expect(await samples(connection)).toEqual([expect.stringMatching(/^1/)]);
    await pass(rig, 60_000, 60_000);
    connection.acknowledgeNow();
    expect(await samples(connection)).toEqual(['2 late', '3 late']);
    connection.cut();
    await rig.state('waiting');
    await pass(rig, 30_000);
    const next = await rig.server.open({ telemetryCredit: 1, ...quiet });
    expect(await samples(next.connection)).toEqual(['2 late', '3 late']);
    next.connection.acknowledgeNow();
    await pass(rig, 0, 30_000);
    expect(await samples(next.connection)).toEqual(['4']);
  });

  test('is taken while there is no session, and then comes in order, marked as late', async () => {
    const rig = startRig({ collect });
    const first = await rig.server.open({ telemetryInterval: durationFromMs(30_000), ...quiet });
    await samples(first.connection);
    first.connection.send({
      case: 'drain',
      value: create(DrainSchema, { reconnectAfter: durationFromMs(100_000) }),
    });
    await rig.state('waiting');
    await pass(rig, 30_000, 30_000, 30_000, 10_000);
    const { connection } = await rig.server.open(quiet);
    expect(await samples(connection)).toEqual(['2 late', '3 late', '4 late']);
    connection.acknowledgeNow();
    await pass(rig, 0, 60_000);
    expect(await samples(connection)).toEqual(['5']);
  });

  test('is taken at another interval when the server says so in the session', async () => {
    const rig = startRig({ collect });
    const { connection } = await rig.server.open({ telemetryInterval: durationFromMs(60_000), ...quiet });
    await samples(connection);
    const interval = durationFromMs(5_000);
    connection.send({ case: 'telemetryTerms', value: create(TelemetryTermsSchema, { interval }) });
    await connection.acknowledged(1n);
    await pass(rig, 5_000);
    expect(await samples(connection)).toEqual(['2']);
    await pass(rig, 5_000);
    connection.acknowledgeNow();
    expect(await samples(connection)).toEqual(['3']);
    connection.send({
      case: 'telemetryTerms',
      value: create(TelemetryTermsSchema, { interval: durationFromMs(3_600_000) }),
    });
    await connection.acknowledged(2n);
    expect(Math.max(...rig.time.waits())).toBe(3_600_000);
  });
});

test('a stop takes nothing new, waits for the grace, and tells what it ended', async () => {
  const rig = startRig({ concurrency: 2 });
  const { connection } = await rig.server.open();
  const [quick, slow, waiting, late] = [newId(), newId(), newId(), newId()];
  for (const id of [quick, slow, waiting]) connection.send(execCommand(id));
  const works = [await rig.begun.shift(), await rig.begun.shift()];
  await connection.acknowledged(3n);
  const stopped = rig.agent.stop(3_000);
  expect(await connection.next('credit')).toMatchObject({ executions: 0 });
  expect(await connection.next('result')).toMatchObject({
    executionId: waiting,
    outcome: REJECTED,
    failure: { code: 'agent_stopped' },
  });
  connection.send(execCommand(late));
  works[0]?.end();
  expect(await connection.next('result')).toMatchObject({ executionId: quick, outcome: SUCCEEDED });
  rig.time.advance(3_000);
  expect(await connection.next('result')).toMatchObject({
    executionId: slow,
    outcome: FAILED,
    failure: { code: 'agent_stopped' },
  });
  await connection.ended;
  await stopped;
  expect(rig.agent.state.name).toBe('stopped');
  expect(rig.ledger.find(late, 1)).toBeUndefined();
  expect(rig.time.waits()).toEqual([]);
});

test('a stop while it waits to reconnect leaves nothing behind', async () => {
  const rig = startRig();
  (await rig.server.accept()).cut();
  await rig.state('waiting');
  await rig.agent.stop(0);
  expect(rig.time.waits()).toEqual([]);
});
