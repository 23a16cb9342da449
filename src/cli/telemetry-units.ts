import { bytesText } from '../lib/bytes.ts';

/** Values of metrics as a person reads them. */

export type Unit = '%' | 'B/s' | 'load' | '';

export function unitOf(metric: string): Unit {
  if (/^(cpu|memory|swap|disk)(:|$)/.test(metric)) return '%';
  if (/^(received|sent)(:|$)/.test(metric)) return 'B/s';
  return metric === 'load' ? 'load' : '';
}

/** For example `12.5 %`, `1.2 MiB/s` or `0.42`. */
export function valueText(unit: Unit, value: number | undefined): string {
  if (value === undefined) return '-';
  if (unit === '%') return `${value.toFixed(1)} %`;
  if (unit === 'B/s') return `${bytesText(value)}/s`;
  if (unit === 'load') return value.toFixed(2);
  return Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) < 10 ? 2 : 1);
}

/** For example `1 core` or `2 cores`. */
export const countText = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;
