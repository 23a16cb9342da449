import { create } from '@bufbuild/protobuf';
import { z } from 'zod';
import {
  DockerStatsArgsSchema,
  type DockerStatsResult_Container,
  DockerStatsResult_ContainerSchema,
  DockerStatsResultSchema,
} from '#gen/viworks/verbs/v1/docker_pb.js';
import { defineExecutor, type Executor } from '../executor.ts';
import { statsArgv } from './argv.ts';
import { answer, ask, type DockerDeps, readRows } from './program.ts';
import { bytePair, percentOf } from './sizes.ts';

/** docker.stats: one measurement of what containers use. It takes docker about two seconds. */
export function dockerStatsExecutor(deps: DockerDeps): Executor {
  return defineExecutor(DockerStatsArgsSchema, DockerStatsResultSchema, async (args, context) => {
    const end = await ask(deps, statsArgv(args), context.signal);
    return answer(end, context, (text) => create(DockerStatsResultSchema, { containers: parseStats(text) }));
  });
}

const row = z.object({
  ID: z.string(),
  Name: z.string().default(''),
  CPUPerc: z.string().default(''),
  MemUsage: z.string().default(''),
  MemPerc: z.string().default(''),
  NetIO: z.string().default(''),
  BlockIO: z.string().default(''),
  PIDs: z.string().default(''),
});

/** @throws where a line is something else */
function parseStats(text: string): DockerStatsResult_Container[] {
  return readRows(text).map((line) => {
    const found = row.parse(line);
    const [memoryUsedBytes, memoryLimitBytes] = bytePair(found.MemUsage);
    const [networkReceivedBytes, networkSentBytes] = bytePair(found.NetIO);
    const [blockReadBytes, blockWrittenBytes] = bytePair(found.BlockIO);
    return create(DockerStatsResult_ContainerSchema, {
      id: found.ID,
      name: found.Name,
      cpuPercent: percentOf(found.CPUPerc),
      memoryUsedBytes,
      memoryLimitBytes,
      memoryPercent: percentOf(found.MemPerc),
      networkReceivedBytes,
      networkSentBytes,
      blockReadBytes,
      blockWrittenBytes,
      processes: Number.parseInt(found.PIDs, 10) || 0,
    });
  });
}
