/**
 * The clock on the wall of a time zone. Wall times are milliseconds as if the wall were in UTC, so that they can
 * be counted with.
 */
export interface Zone {
  wallAt(instant: number): number;
  /**
   * The first instant at which the wall shows this time or a later one: the earlier one of an hour that comes
   * twice; for a time that the wall leaves out, the instant after the gap.
   */
  instantOf(wall: number): number;
}

const dayMs = 86_400_000;

/** @throws RangeError for an unknown zone */
export function createZone(timeZone: string): Zone {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });

  function wallAt(instant: number): number {
    const parts: Record<string, number> = {};
    for (const { type, value } of format.formatToParts(instant)) parts[type] = Number(value);
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
    const ms = ((instant % 1000) + 1000) % 1000;
    return Date.UTC(year, month - 1, day, hour, minute, second, ms);
  }
  const offsetAt = (instant: number) => wallAt(instant) - instant;

  return {
    wallAt,
    instantOf(wall) {
      // No offset is larger than a day, so these are those before and after a change near the wall time.
      const candidates = [wall - dayMs, wall + dayMs].map((instant) => wall - offsetAt(instant));
      const shown = candidates.filter((instant) => wallAt(instant) === wall);
      if (shown.length > 0) return Math.min(...shown);
      let [before, after] = [Math.min(...candidates) - dayMs, Math.max(...candidates) + dayMs];
      while (after - before > 1) {
        const middle = Math.floor((before + after) / 2);
        if (wallAt(middle) >= wall) after = middle;
        else before = middle;
      }
      return after;
    },
  };
}
