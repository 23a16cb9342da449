import type { FleetCalls, FleetTell } from '../fleet-process.ts';
import { type Child, startChild } from './child.ts';

/** A process with many simulated agents. */
export type Fleet = Child<FleetCalls, FleetTell, Record<string, never>>;

/**
 * Agents of a real fleet have a heap each, and say little. The buffers of hundreds in one small heap would have all of it
 * collected eight times a second, for half of the CPU time of the process.
 */
const flags = ['--initial-old-space-size=256'];

export const startFleet = (): Fleet => startChild(new URL('../fleet-process.ts', import.meta.url), flags);
