const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** For a person, for example `1.2 GiB`. Below 0 where it is a difference. */
export function bytesText(bytes: number): string {
  let [value, unit] = [Math.abs(bytes), 0];
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const text = unit === 0 || value >= 99.95 ? String(Math.round(value)) : value.toFixed(1);
  return `${bytes < 0 && text !== '0' ? '-' : ''}${text} ${units[unit]}`;
}
