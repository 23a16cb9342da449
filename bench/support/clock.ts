/** Milliseconds of the clock that all processes of one machine share (CLOCK_MONOTONIC). */
export const clockMs = (): number => Number(process.hrtime.bigint()) / 1e6;
