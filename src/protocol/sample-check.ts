import type { Sample } from '#gen/viworks/agent/v1/telemetry_pb.js';

const bootBytes = 16;
const unreadName = /^[a-z][a-z0-9_]{0,31}$/;
const metricName = /^[a-z][a-z0-9_.]{0,63}$/;

/**
 * Whether a sample keeps the rules in its proto file, found out by hand, as isPlainResult does for a RESULT. True only of
 * what is valid; of the rest the validator has the last word. Lengths are in UTF-16 units, of which a text has at least
 * as many as it has characters.
 */
export function isPlainSample(sample: Sample): boolean {
  const { disks, networks, containers, services, metrics } = sample;
  if (sample.number < 1n || sample.takenAt === undefined) return false;
  if (disks.length > 256 || networks.length > 256) return false;
  if (containers.length > 1024 || services.length > 1024) return false;
  const { bootId, unread } = sample;
  if (bootId.byteLength !== 0 && bootId.byteLength !== bootBytes) return false;
  if (unread.length > 16 || !unread.every((name) => unreadName.test(name))) return false;
  for (const disk of disks) {
    if (disk.mount.length > 1024 || disk.fileSystem.length > 64 || disk.device.length > 128) return false;
    if (!isRate(disk.readBytesPerSecond) || !isRate(disk.writtenBytesPerSecond)) return false;
    if (!isRate(disk.readsPerSecond) || !isRate(disk.writesPerSecond)) return false;
    if (!isRate(disk.busyPercent) || (disk.busyPercent ?? 0) > 100) return false;
  }
  for (const network of networks) {
    if (network.interface.length > 64) return false;
    if (!isRate(network.receivedBytesPerSecond) || !isRate(network.sentBytesPerSecond)) return false;
  }
  for (const { id, name, image, state, health } of containers) {
    if (id.length > 128 || name.length > 255 || image.length > 512) return false;
    if (state.length > 64 || health.length > 64) return false;
  }
  for (const { name, state, subState } of services)
    if (name.length > 255 || state.length > 64 || subState.length > 64) return false;
  let count = 0;
  for (const name in metrics) if (++count > 256 || !metricName.test(name)) return false;
  return true;
}

const isRate = (rate: number | undefined): boolean =>
  rate === undefined || (rate >= 0 && rate < Number.POSITIVE_INFINITY);
