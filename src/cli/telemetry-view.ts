import type { SampleView } from '../api/schemas/samples.ts';
import type { LatestView } from '../api/schemas/telemetry.ts';
import { bytesText } from '../lib/bytes.ts';
import { formatDuration } from '../lib/duration.ts';
import { freeBytesOf, percentOfDisk, percentUsed } from '../protocol/disks.ts';
import { countText, unitOf, valueText } from './telemetry-units.ts';
import { inLine, type Style, since, type Terminal } from './terminal.ts';

/** A sample as a person reads it, and why there is none. */

type Styled = Pick<Terminal, 'style'>;

/** Percent from which something looks full. */
const [high, critical] = [85, 95];

export function summary(terminal: Styled, latest: LatestView, now: number): string[] {
  const { agentId, site, status, lastSeenAt } = latest;
  const seen = status === 'online' ? '' : `, last seen ${since(lastSeenAt, now)}`;
  const head = `${terminal.style('bold', agentId)} in ${site}, ${status}${seen}`;
  if (latest.sample === undefined) return [head, `No telemetry. ${whyNone(latest, now)}`];
  const sample = readable(latest.sample);
  const rows: [name: string, text: string][] = [
    ['sample', `${since(sample.at, now)} (${sample.at})`],
    ...marks(sample).map((text): [string, string] => ['', terminal.style('yellow', text)]),
    ...machine(terminal, sample),
    ...disks(terminal, sample),
    ...networks(sample),
    ['containers', containers(terminal, sample)],
    ...services(terminal, sample),
    ...Object.entries(sample.metrics)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, value]): [string, string] => [`metrics.${name}`, valueText('', value)]),
  ];
  if (sample.uptimeMs !== undefined) rows.push(['uptime', formatDuration(sample.uptimeMs)]);
  const width = Math.min(24, Math.max(...rows.map(([name]) => name.length)));
  return [head, ...rows.map(([name, text]) => `${name.padEnd(width)}  ${text}`)];
}

/** With all texts as parts of lines: before they are put together and coloured. */
const readable = (sample: SampleView): SampleView =>
  JSON.parse(JSON.stringify(sample), (_key, value: unknown) =>
    typeof value === 'string' ? inLine(value) : value,
  );

/** What is odd about a sample, one line each. */
export function marks(sample: SampleView): string[] {
  const { late, skewed, at, receivedAt, takenAt, dropped, unread } = sample;
  const waited = Date.parse(receivedAt) - Date.parse(at);
  const said = takenAt === undefined ? 'an impossible time' : takenAt;
  return [
    ...(late ? [`late: it arrived ${formatDuration(Math.max(0, waited))} after it was taken`] : []),
    ...(skewed ? [`skewed: the agent's clock said ${said}; the time is the server's`] : []),
    ...(dropped > 0
      ? [`dropped: the agent lost ${countText(dropped, 'sample')} before this one since it started`]
      : []),
    ...(unread.length > 0 ? [`unread: ${unread.join(', ')} could not be read, or not all of them`] : []),
  ];
}

function machine(terminal: Styled, { cpu, memory }: SampleView): [string, string][] {
  const rows: [string, string][] = [];
  if (cpu !== undefined) {
    const loads = [cpu.load1m, cpu.load5m, cpu.load15m].map((load) => load.toFixed(2)).join(' ');
    rows.push([
      'cpu',
      `${filled(terminal, cpu.usedPercent)} of ${countText(cpu.cores, 'core')}, load ${loads}`,
    ]);
  }
  if (memory !== undefined) {
    const { totalBytes, usedBytes, swapTotalBytes, swapUsedBytes } = memory;
    rows.push(['memory', used(terminal, usedBytes, totalBytes)]);
    rows.push(['swap', swapTotalBytes === 0 ? 'none' : used(terminal, swapUsedBytes, swapTotalBytes)]);
  }
  return rows;
}

function used(terminal: Styled, part: number, whole: number): string {
  return `${filled(terminal, percentUsed(part, whole))} (${bytesText(part)} of ${bytesText(whole)})`;
}

/** A share of something that may become full. */
function filled(terminal: Styled, percent: number | undefined): string {
  const text = valueText('%', percent);
  const format: Style | undefined =
    percent === undefined || percent < high ? undefined : percent < critical ? 'yellow' : 'red';
  return format === undefined ? text : terminal.style(format, text);
}

function disks(terminal: Styled, sample: SampleView): [string, string][] {
  return sample.disks.map((disk) => {
    const { inodesTotal, inodesUsed, readBytesPerSecond, writtenBytesPerSecond, busyPercent } = disk;
    const inodes = percentUsed(inodesUsed ?? 0, inodesTotal ?? 0);
    const parts = [
      `${filled(terminal, percentOfDisk(disk))} (${bytesText(disk.usedBytes)} of ${bytesText(disk.totalBytes)}, ${bytesText(freeBytesOf(disk))} free)`,
      inodes === undefined ? [] : `inodes ${filled(terminal, inodes)}`,
      readBytesPerSecond === undefined ? [] : `reads ${valueText('B/s', readBytesPerSecond)}`,
      writtenBytesPerSecond === undefined ? [] : `writes ${valueText('B/s', writtenBytesPerSecond)}`,
      busyPercent === undefined ? [] : `busy ${valueText('%', busyPercent)}`,
    ];
    return [`disk ${disk.mount}`, parts.flat().join(', ')];
  });
}

function networks({ networks }: SampleView): [string, string][] {
  return networks.map((network) => {
    const { errors, drops, receivedBytesPerSecond, sentBytesPerSecond } = network;
    const rates =
      receivedBytesPerSecond === undefined && sentBytesPerSecond === undefined
        ? `${bytesText(network.receivedBytes)} received and ${bytesText(network.sentBytes)} sent since the start`
        : `received ${valueText('B/s', receivedBytesPerSecond)}, sent ${valueText('B/s', sentBytesPerSecond)}`;
    const lost = [
      errors > 0 ? countText(errors, 'error') : [],
      drops > 0 ? countText(drops, 'drop') : [],
    ].flat();
    return [`network ${network.interface}`, [rates, ...lost].join(', ')];
  });
}

function containers(terminal: Styled, { containers, unread }: SampleView): string {
  if (containers.length === 0) return unread.includes('containers') ? 'not known' : 'none';
  const states = Map.groupBy(containers, ({ state }) => state);
  const counts = [...states].map(([state, some]) => `${some.length} ${state || 'unknown'}`).join(', ');
  const sick = containers.filter(({ health }) => health === 'unhealthy').map(({ name, id }) => name || id);
  return sick.length === 0 ? counts : `${counts}; ${terminal.style('red', `unhealthy: ${sick.join(', ')}`)}`;
}

const well = new Set(['active', 'running', 'reloading', 'activating', 'refreshing']);

/** Those that do not run by name, with their states; the others counted. */
function services(terminal: Styled, { services }: SampleView): [string, string][] {
  if (services.length === 0) return [];
  const down = services.filter(({ state }) => !well.has(state));
  const names = down.map(({ name, state, subState }) => `${name} ${state}${subState && ` (${subState})`}`);
  const up = `${services.length - down.length} of ${services.length} run`;
  return [['services', down.length === 0 ? up : `${up}; ${terminal.style('red', names.join(', '))}`]];
}

/** Why there is no telemetry, as far as it can be told from here. */
export function whyNone({ agentId, status, lastSeenAt, sample }: LatestView, now: number): string {
  if (lastSeenAt === undefined) return `${agentId} has never connected.`;
  const gone = status === 'revoked' ? 'It is revoked' : 'It is not connected';
  const newest =
    sample === undefined ? '' : ` Its newest sample is of ${sample.at} (${since(sample.at, now)}).`;
  if (status === 'offline' || status === 'revoked' || status === 'held')
    return `${gone}; it was last seen ${since(lastSeenAt, now)}.${newest}`;
  if (sample !== undefined) return newest.trim();
  return 'It is connected, and has sent none: it has just started, or it is an agent that measures nothing.';
}

/** Of the metrics that have columns. */
export const valueTitles = ['CPU', 'MEMORY', 'SWAP', 'DISK', 'LOAD', 'RECEIVED', 'SENT'];

export function valueCells(sample: SampleView | undefined): string[] {
  const { cpu, memory, swap, disk, load, received, sent } = sample?.values ?? {};
  return Object.entries({ cpu, memory, swap, disk, load, received, sent }).map(([name, value]) =>
    valueText(unitOf(name), value),
  );
}

export const markNames = (sample: SampleView): string =>
  marks(sample)
    .map((mark) => mark.slice(0, mark.indexOf(':')))
    .join(', ');
