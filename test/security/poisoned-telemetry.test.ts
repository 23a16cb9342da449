import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { expect, test } from 'vitest';
import { SampleSchema, type Telemetry, TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { statement } from '../../src/storage/database.ts';
import { ownCore } from '../support/app-core-own.ts';
import { connected } from '../support/fake-agent.ts';
import { sampleAt } from '../support/telemetry.ts';

/** Samples that are no samples, over real sessions: their agent stays, and nobody's other samples suffer. */

/** A TELEMETRY of whatever bytes. */
function telemetryOf(samples: readonly Uint8Array[]): Telemetry {
  const message = create(TelemetrySchema);
  message.$unknown = samples.map((bytes) => ({
    no: 1,
    wireType: WireType.LengthDelimited,
    data: new BinaryWriter().bytes(bytes).finish(),
  }));
  return message;
}

const counted = statement(
  'test_poison',
  'select agent_id as "agentId", number::int4 as number from telemetry_samples order by 1, 2',
);

test.each(['connect', 'websocket'] as const)(
  'poison by %s is set aside, counted and answered',
  async (transport) => {
    const core = await (await ownCore()).start();
    const { session } = await connected(core, 'alpha', { transport });
    const { session: other } = await connected(core, 'beta');
    const now = core.clock.now();
    const good = (number: number) =>
      toBinary(SampleSchema, create(SampleSchema, sampleAt(number, now + number)));
    const bad = (init: object) =>
      toBinary(SampleSchema, create(SampleSchema, { ...sampleAt(99, now), ...init }));
    const poison: Uint8Array[] = [
      new Uint8Array(),
      new Uint8Array([0xff]),
      Uint8Array.from({ length: 500 }, (_, n) => (n * 37) % 256),
      // It says that more comes than there is.
      good(99).subarray(0, -3),
      // A group that never ends.
      new Uint8Array([...good(99), 0x7b]),
      bad({ number: 0n }),
      bad({ bootId: new Uint8Array(5) }),
      bad({ cpu: { usedPercent: Number.NaN } }),
      bad({ disks: [{ mount: '/', busyPercent: 100.01 }] }),
      bad({ networks: [{ interface: 'e', sentBytesPerSecond: Number.POSITIVE_INFINITY }] }),
      bad({ networks: [{ interface: 'e', sentBytesPerSecond: -1 }] }),
      bad({ unread: ['No name'] }),
      bad({ metrics: { queue: Number.NEGATIVE_INFINITY } }),
    ];
    let [sequence, number] = [0n, 0];
    for (const bytes of poison) {
      const value = telemetryOf([good(number + 1), bytes, good(number + 2)]);
      number += 2;
      sequence = session.send({ case: 'telemetry', value });
      // In the same commit, as far as it goes.
      const last = other.send({ case: 'telemetry', value: telemetryOf([good(number)]) });
      await Promise.all([session.acknowledged(sequence), other.acknowledged(last)]);
    }
    await Promise.all([session.beat(), other.beat()]);
    const { values } = await core.metrics.telemetrySamples.get();
    const count = (outcome: string) => values.find(({ labels }) => labels.outcome === outcome)?.value ?? 0;
    expect(count('set_aside')).toBe(poison.length);
    expect(count('stored')).toBe(3 * poison.length);
    const rows = await core.database.query<{ agentId: string; number: number }>(counted, []);
    const of = (agentId: string) => rows.filter((row) => row.agentId === agentId).map((row) => row.number);
    expect(of('alpha')).toEqual(Array.from({ length: number }, (_, n) => n + 1));
    expect(of('beta')).toEqual(poison.map((_, n) => 2 * n + 2));
    expect(session.heard).not.toContain('error');
  },
);
