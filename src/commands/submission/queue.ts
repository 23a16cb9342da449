import { type Priority, priorities } from '../types.ts';

/**
 * The order of an agent's queue. Each execution has a rank, made once: the time at which it was submitted,
 * plus one step for each priority below critical. The lowest rank goes first, and among equals the oldest. So a
 * higher priority overtakes what was submitted within the steps between them, and nothing waits behind a flood
 * of higher ones for longer than those steps: age outweighs priority, and no row is ever written again for it.
 */

/** Milliseconds of waiting that weigh as much as one step of priority. */
export const ageingStepMs = 60_000;

/** @param at when it was submitted, milliseconds since 1970 */
export const rankOf = (priority: Priority, at: number): number =>
  at + priorities.indexOf(priority) * ageingStepMs;
