import { type Sample, SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import type { FieldProblem } from '../errors.ts';
import { isMeasure, wireLimits } from '../protocol/limits.ts';
import { problemsOf } from '../protocol/validation.ts';

/** What is decided of a sample before it is stored, without a clock and I/O. */

/** Milliseconds by which an agent's clock may be ahead. */
export const aheadMs = 5 * 60_000;

/**
 * Older ones are not believed even where samples are kept for longer: each day that an agent names becomes a partition.
 */
const oldestMs = 30 * 86_400_000;

export interface TimeRules {
  /** Milliseconds that samples are kept. */
  keepMs: number;
  /** A sample that comes this many milliseconds after it was taken is late. */
  lateMs: number;
}

export interface SampleTime {
  /** Milliseconds since 1970, whole ones. */
  at: number;
  late: boolean;
  skewed: boolean;
}

/** The agent's time where it is plausible; otherwise the server's, and the sample is marked. */
export function timeOf(takenAt: number, receivedAt: number, { keepMs, lateMs }: TimeRules): SampleTime {
  const age = receivedAt - takenAt;
  const skewed = !(age >= -aheadMs && age < Math.min(keepMs, oldestMs));
  return { at: Math.floor(skewed ? receivedAt : takenAt), late: !skewed && age > lateMs, skewed };
}

/** The proto file says that rates are 0 or more; those without end are, too, and nothing can be reckoned with them. */
function rateProblemOf({ disks, networks }: Sample): FieldProblem | undefined {
  const problem = `must be from 0 to ${wireLimits.measure}`;
  for (const [at, disk] of disks.entries())
    for (const [name, rate] of [
      ['read_bytes_per_second', disk.readBytesPerSecond],
      ['written_bytes_per_second', disk.writtenBytesPerSecond],
      ['reads_per_second', disk.readsPerSecond],
      ['writes_per_second', disk.writesPerSecond],
      ['busy_percent', disk.busyPercent],
    ] as const)
      if (!isMeasure(rate ?? 0)) return { field: `disks[${at}].${name}`, problem };
  for (const [at, network] of networks.entries())
    for (const [name, rate] of [
      ['received_bytes_per_second', network.receivedBytesPerSecond],
      ['sent_bytes_per_second', network.sentBytesPerSecond],
    ] as const)
      if (!isMeasure(rate ?? 0)) return { field: `networks[${at}].${name}`, problem };
  return undefined;
}

/** Why a sample cannot be kept; undefined where it can. */
export function problemOf(sample: Sample): FieldProblem | undefined {
  const problem = problemsOf(SampleSchema, sample)[0] ?? rateProblemOf(sample);
  if (problem !== undefined) return problem;
  if (sample.number > BigInt(Number.MAX_SAFE_INTEGER))
    return { field: 'number', problem: `must be at most ${Number.MAX_SAFE_INTEGER}` };
  const { cpu } = sample;
  if (cpu !== undefined) {
    if (!(cpu.usedPercent >= 0 && cpu.usedPercent <= 100))
      return { field: 'cpu.used_percent', problem: 'must be from 0 to 100' };
    for (const [field, load] of [
      ['cpu.load_1m', cpu.load1m],
      ['cpu.load_5m', cpu.load5m],
      ['cpu.load_15m', cpu.load15m],
    ] as const)
      if (!(load >= 0 && isMeasure(load)))
        return { field, problem: `must be from 0 to ${wireLimits.measure}` };
  }
  for (const name in sample.metrics)
    if (!isMeasure(sample.metrics[name] ?? 0)) {
      const problem = `must be a number from -${wireLimits.measure} to ${wireLimits.measure}`;
      return { field: `metrics["${name}"]`, problem };
    }
  return undefined;
}
