import { readdirSync, readFileSync, watch, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { durationMs } from '@bufbuild/protobuf/wkt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Sample, SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { createCollector } from '../../src/agent/telemetry/collector.ts';
import { openDiskSpool } from '../../src/agent/telemetry/disk-spool.ts';
import { readFrames } from '../../src/agent/telemetry/frames.ts';
import { createConnectDialer } from '../../src/agent/transport/connect.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { generateKeyPair } from '../../src/protocol/keys.ts';
import type { TelemetryIngest } from '../../src/telemetry/ingest.ts';
import { startCore } from '../support/app-core.ts';
import { createProcessRig } from '../support/app-process.ts';
import { enrolled } from '../support/fake-agent.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { readSamples } from '../support/samples.ts';
import { sdkAgent } from '../support/sdk-agent.ts';

/** What a real agent measures, on its way to the control plane: over breaks, restarts and a full disk. */

/** Keeps all samples in the order in which they come. */
function createRecorder() {
  const samples: Sample[] = [];
  const waiting = new Set<() => void>();
  const ingest: TelemetryIngest['ingest'] = (_source, message) => {
    samples.push(...readSamples(message));
    for (const look of waiting) look();
    return Promise.resolve();
  };
  return {
    ingest,
    samples,
    /** Resolves as soon as it holds. */
    until: (enough: () => boolean) =>
      new Promise<void>((resolve) => {
        const look = () => {
          if (!enough()) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'viworks-telemetry-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

describe('telemetry of an agent', () => {
  test('goes on while the control plane is away, and then comes complete, in order and marked as late', async () => {
    const { url } = await createTestDatabase();
    const serverKey = generateKeyPair();
    const recorder = createRecorder();
    const options = { serverKey, onTelemetry: recorder.ingest, limits: { telemetryIntervalMs: 100 } };
    let core = await startCore(url, options);
    const collect = createCollector({ clock: systemClock, log: silentLogger, containers: false });
    const taken = new Set<() => void>();
    let count = 0;
    const spool = await openDiskSpool(await newFolder(), { clock: systemClock, log: silentLogger });
    onTestFinished(spool.close);
    await sdkAgent(core, 'a', {
      spool,
      dialer: {
        transport: 'connect',
        dial: (handler, signal) => createConnectDialer(core).dial(handler, signal),
      },
      async collect() {
        const sample = await collect();
        count += 1;
        for (const look of taken) look();
        return sample;
      },
    });
    await recorder.until(() => recorder.samples.length >= 3);
    await core.stop();
    const before = recorder.samples.length;
    const away = count;
    await new Promise<void>((resolve) => taken.add(() => count >= away + 5 && resolve()));
    core = await startCore(url, options);
    await recorder.until(() => recorder.samples.slice(before).some(({ late }) => !late));
    const numbers = recorder.samples.map(({ number }) => Number(number));
    const distinct = [...new Set(numbers)];
    expect(distinct).toEqual(distinct.map((_, index) => index + 1));
    const after = recorder.samples.slice(before);
    expect(after.filter(({ late }) => late).length).toBeGreaterThanOrEqual(4);
    expect(after.findIndex(({ late }) => !late)).toBe(after.length - 1);
    expect(recorder.samples[0]?.dropped).toBe(0n);
    const times = after.map(({ takenAt }) => Number(takenAt?.seconds) * 1e9 + (takenAt?.nanos ?? 0));
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });

  test('comes at another interval as soon as the control plane says so', async () => {
    const recorder = createRecorder();
    const core = await startCore((await createTestDatabase()).url, {
      onTelemetry: recorder.ingest,
      limits: { telemetryIntervalMs: 3_600_000 },
    });
    const fake = await enrolled(core, 'b');
    const open = await fake.connect();
    const collect = createCollector({ clock: systemClock, log: silentLogger, containers: false });
    await sdkAgent(core, 'a', { collect });
    await recorder.until(() => recorder.samples.length === 1);
    core.sessions.setTelemetryInterval(100);
    await recorder.until(() => recorder.samples.length >= 4);
    const { interval } = await open.next('telemetryTerms');
    expect(interval && durationMs(interval)).toBe(100);
    const { welcome } = await fake.connect();
    const told = welcome.limits?.telemetryInterval;
    expect(told && durationMs(told)).toBe(100);
  });
});

/** The samples that wait in the data folder of an agent. */
function spooled(folder: string): Sample[] {
  try {
    return readdirSync(folder)
      .sort()
      .flatMap((name) => readFrames(readFileSync(join(folder, name))).frames)
      .map(({ data }) => fromBinary(SampleSchema, data));
  } catch {
    // Not there yet, or removed while it was read.
    return [];
  }
}

/** Resolves as soon as it holds of what waits; looks whenever the folder changes. */
async function untilSpooled(folder: string, enough: (samples: Sample[]) => boolean): Promise<Sample[]> {
  const watcher = watch(folder);
  try {
    for (;;) {
      const changed = new Promise((resolve) => watcher.once('change', resolve));
      const samples = spooled(folder);
      if (enough(samples)) return samples;
      await changed;
    }
  } finally {
    watcher.close();
  }
}

describe('the telemetry of an agent process', () => {
  test('survives a kill while nobody takes it, and is all taken afterwards', async () => {
    const rig = createProcessRig();
    const config = join(rig.folder, 'viworks.toml');
    writeFileSync(config, `${readFileSync(config, 'utf8')}\n[telemetry]\ncollection_interval = 0.2\n`);
    await rig.startServer();
    await rig.startAgent();
    await rig.agent().stderr.match(/connected/);
    await rig.kill(rig.server());
    const folder = join(rig.folder, 'agent', 'telemetry');
    await untilSpooled(folder, (samples) => samples.length >= 3);
    await rig.kill(rig.agent());
    const left = spooled(folder);
    expect(left.length).toBeGreaterThanOrEqual(3);
    const boot = left.at(-1)?.bootId ?? new Uint8Array();

    await rig.startAgent();
    const both = await untilSpooled(folder, (samples) => samples.length > left.length);
    expect(both.slice(0, left.length)).toEqual(left);
    expect(both.at(-1)?.bootId).not.toEqual(boot);
    expect(both.at(-1)?.number).toBe(1n);

    await rig.startServer();
    // What is acknowledged is gone: nothing of before is left.
    await untilSpooled(
      folder,
      (samples) => !samples.some(({ takenAt }) => older(takenAt, both.at(-1)?.takenAt)),
    );
  }, 60_000);

  test('is taken at another interval when the configuration is read again', async () => {
    const rig = createProcessRig();
    const config = join(rig.folder, 'viworks.toml');
    const text = readFileSync(config, 'utf8');
    writeFileSync(config, `${text}\n[telemetry]\ncollection_interval = 3600\n`);
    await rig.startServer();
    await rig.startAgent();
    await rig.agent().stderr.match(/connected/);
    writeFileSync(config, `${text}\n[telemetry]\ncollection_interval = -1\n`);
    rig.server().kill('SIGHUP');
    await rig.server().stderr.match(/stays as it is.*collection_interval/);
    writeFileSync(config, `${text}\n[telemetry]\ncollection_interval = 0.2\n`);
    rig.server().kill('SIGHUP');
    await rig.agent().stderr.match(/samples at another interval/);
  }, 60_000);

  test('waits in memory where the disk takes no more of it', async () => {
    const rig = createProcessRig();
    const config = join(rig.folder, 'viworks.toml');
    writeFileSync(config, `${readFileSync(config, 'utf8')}\n[telemetry]\ncollection_interval = 0.2\n`);
    await rig.startServer();
    await rig.startAgent({ fileBytes: 4096 });
    await rig.agent().stderr.match(/connected/);
    await rig.kill(rig.server());
    await rig.agent().stderr.match(/telemetry cannot be kept on the disk, and waits in memory/);
    const folder = join(rig.folder, 'agent', 'telemetry');
    const kept = spooled(folder);
    expect(kept.length).toBeGreaterThan(0);
    await rig.startServer();
    await rig.agent().stderr.next(/connected/);
    await rig.agent().stderr.match(/telemetry is kept on the disk again/);
  }, 60_000);
});

type Time = Sample['takenAt'];
const older = (a: Time, b: Time) =>
  a !== undefined &&
  b !== undefined &&
  (a.seconds - b.seconds) * 1_000_000_000n + BigInt(a.nanos - b.nanos) <= 0n;
