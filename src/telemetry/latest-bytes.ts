import type { StoredSample } from '../storage/sample-rows.ts';
import { type TelemetryMetric, telemetryMetrics } from '../storage/telemetry-metrics.ts';

/** A stored sample as bytes, for those who keep it elsewhere: the length of a head in JSON, the head, the sample. */

interface Head {
  at: number;
  boot: string;
  number: number;
  receivedAt: number;
  late: boolean;
  skewed: boolean;
  metrics: Partial<Record<TelemetryMetric, number>>;
}

const lengthBytes = 4;

export function latestToBytes(row: StoredSample): Uint8Array {
  const metrics: Head['metrics'] = {};
  for (const name of telemetryMetrics) if (row[name] !== null) metrics[name] = row[name];
  const head: Head = {
    at: row.at.getTime(),
    boot: Buffer.from(row.bootId).toString('base64'),
    number: row.number,
    receivedAt: row.receivedAt.getTime(),
    late: row.late,
    skewed: row.skewed,
    metrics,
  };
  const text = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt32BE(text.byteLength);
  return Buffer.concat([length, text, row.sample]);
}

/** Undefined for bytes that are none, such as those of another version. */
export function latestFromBytes(agentId: string, bytes: Uint8Array): StoredSample | undefined {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (data.byteLength < lengthBytes) return undefined;
  const end = lengthBytes + data.readUInt32BE();
  if (end > data.byteLength) return undefined;
  const head = headOf(data.toString('utf8', lengthBytes, end));
  if (head === undefined) return undefined;
  const metrics = Object.fromEntries(telemetryMetrics.map((name) => [name, head.metrics[name] ?? null]));
  return {
    agentId,
    at: new Date(head.at),
    bootId: Buffer.from(head.boot, 'base64'),
    number: head.number,
    receivedAt: new Date(head.receivedAt),
    late: head.late,
    skewed: head.skewed,
    sample: data.subarray(end),
    ...(metrics as Record<TelemetryMetric, number | null>),
  };
}

function headOf(text: string): Head | undefined {
  try {
    const head: Partial<Head> | null = JSON.parse(text);
    const isWhole =
      typeof head?.at === 'number' &&
      typeof head.boot === 'string' &&
      typeof head.number === 'number' &&
      typeof head.receivedAt === 'number' &&
      typeof head.metrics === 'object' &&
      head.metrics !== null;
    return isWhole ? (head as Head) : undefined;
  } catch {
    return undefined;
  }
}
