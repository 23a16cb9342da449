/**
 * Liveness by heartbeats: what the server may honestly say of an agent it has not heard of for a while.
 * Anything an agent sends is a sign of life.
 */
export type Liveness = 'online' | 'degraded' | 'dead';

/**
 * One missed heartbeat makes an agent degraded, three end its session.
 * @param silentMs since the last sign of life
 */
export function livenessOf(silentMs: number, intervalMs: number): Liveness {
  if (silentMs > 3 * intervalMs) return 'dead';
  return silentMs > 1.5 * intervalMs ? 'degraded' : 'online';
}
