/** Numbers as docker prints them for people. */

const units: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  PB: 1e15,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  PiB: 2 ** 50,
};

/** Bytes of, for example, "1.2MiB"; 0 for what is no size, such as the "--" of a container that has ended. */
export function bytesOf(text: string): bigint {
  const [, number = '', unit = ''] = /^\s*([\d.]+)\s*([A-Za-z]+)\s*$/.exec(text) ?? [];
  const bytes = Number(number) * (units[unit] ?? Number.NaN);
  return Number.isFinite(bytes) ? BigInt(Math.round(bytes)) : 0n;
}

/** Both halves of, for example, "1.2MiB / 1.9GiB". */
export function bytePair(text: string): [bigint, bigint] {
  const [first = '', second = ''] = text.split('/');
  return [bytesOf(first), bytesOf(second)];
}

/** The number of, for example, "12.50%"; 0 for what is none. */
export function percentOf(text: string): number {
  const value = Number.parseFloat(text);
  return Number.isFinite(value) ? value : 0;
}

/**
 * Milliseconds since 1970 of a time in RFC 3339, or in Go's own form ("2026-01-02 15:04:05 +0100 CET");
 * undefined for none, and for the year 1, with which Go says "never".
 */
export function timeOf(text: string): number | undefined {
  const go = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.\d+)? ([+-]\d\d)(\d\d)/.exec(text);
  const ms = Date.parse(go === null ? text : `${go[1]}T${go[2]}${go[3]}:${go[4]}`);
  return Number.isNaN(ms) || ms <= 0 ? undefined : ms;
}
