import { cpus, loadavg, uptime } from 'node:os';
import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { SystemInfoArgsSchema, SystemInfoResultSchema } from '#gen/viworks/verbs/v1/system_pb.js';
import { readFileSystems } from '../disks.ts';
import { readFacts, readMemory } from '../host.ts';
import { defineExecutor, type Executor } from './executor.ts';

/** system.info: what this machine is. */
export function systemInfoExecutor(software: string): Executor {
  return defineExecutor(SystemInfoArgsSchema, SystemInfoResultSchema, async () => {
    const [facts, memory, fileSystems] = await Promise.all([readFacts(), readMemory(), readFileSystems()]);
    const cores = cpus();
    const output = create(SystemInfoResultSchema, {
      ...facts,
      cpuModel: cores[0]?.model.trim() ?? '',
      cpuCores: cores.length,
      memoryTotalBytes: BigInt(memory.totalBytes),
      memoryAvailableBytes: BigInt(memory.availableBytes),
      uptime: durationFromMs(Math.round(uptime() * 1000)),
      loadAverage: loadavg(),
      fileSystems: fileSystems.map((system) => ({
        mount: system.mount,
        type: system.type,
        totalBytes: BigInt(system.totalBytes),
        availableBytes: BigInt(system.availableBytes),
      })),
      agentSoftware: software,
    });
    return { output };
  });
}
