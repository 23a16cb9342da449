import { create, type JsonObject } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { z } from 'zod';
import {
  DockerInspectArgsSchema,
  type DockerInspectResult_Container,
  DockerInspectResult_ContainerSchema,
  DockerInspectResultSchema,
} from '#gen/viworks/verbs/v1/docker_pb.js';
import { defineExecutor, type Executor } from '../executor.ts';
import { inspectArgv } from './argv.ts';
import { answer, ask, type DockerDeps } from './program.ts';
import { timeOf } from './sizes.ts';

/** docker.inspect: what docker keeps of a container, the parts that most ask for as fields of their own. */
export function dockerInspectExecutor(deps: DockerDeps): Executor {
  return defineExecutor(DockerInspectArgsSchema, DockerInspectResultSchema, async (args, context) => {
    const end = await ask(deps, inspectArgv(args), context.signal);
    return answer(end, context, (text) =>
      create(DockerInspectResultSchema, { containers: parseInspect(text, args.raw) }),
    );
  });
}

const text = z.string().nullish().default('');
const whole = z.number().nullish().default(0);
const texts = z
  .union([z.array(z.string()), z.string().transform((one) => [one])])
  .nullish()
  .default([]);
const record = <Value extends z.ZodType>(value: Value) => z.record(z.string(), value).nullish().default({});

const document = z.object({
  Id: z.string(),
  Name: text,
  Image: text,
  Created: text,
  Path: text,
  Args: texts,
  RestartCount: whole,
  State: z.object({
    Status: text,
    ExitCode: whole,
    OOMKilled: z.boolean().nullish(),
    Error: text,
    Pid: whole,
    StartedAt: text,
    FinishedAt: text,
    Health: z.object({ Status: text }).nullish(),
  }),
  Config: z.object({ Image: text, Labels: record(z.string()) }).nullish(),
  HostConfig: z.object({ RestartPolicy: z.object({ Name: text }).nullish() }).nullish(),
  Mounts: z
    .array(z.object({ Type: text, Name: text, Source: text, Destination: text, RW: z.boolean().nullish() }))
    .nullish(),
  NetworkSettings: z
    .object({
      Ports: record(z.array(z.object({ HostIp: text, HostPort: text })).nullish()),
      Networks: record(z.object({ IPAddress: text, GlobalIPv6Address: text })),
    })
    .nullish(),
});
type Document = z.output<typeof document>;

/** @param raw whether to keep each document as it is @throws where the text is something else */
function parseInspect(output: string, raw: boolean): DockerInspectResult_Container[] {
  const documents = z.array(z.record(z.string(), z.json())).parse(JSON.parse(output));
  return documents.map((one) => {
    const container = containerOf(document.parse(one));
    if (raw) container.raw = one as JsonObject;
    return container;
  });
}

function containerOf(found: Document): DockerInspectResult_Container {
  const { State: state, Config: config, HostConfig: host, NetworkSettings: net } = found;
  return create(DockerInspectResult_ContainerSchema, {
    id: found.Id,
    name: (found.Name ?? '').replace(/^\//, ''),
    image: config?.Image ?? '',
    imageId: found.Image ?? '',
    command: [found.Path ?? '', ...(found.Args ?? [])].filter((part, index) => index > 0 || part !== ''),
    ...time('createdAt', found.Created),
    status: state.Status ?? '',
    health: healthOf(state.Health?.Status),
    exitCode: state.ExitCode ?? 0,
    oomKilled: state.OOMKilled ?? false,
    error: state.Error ?? '',
    pid: state.Pid ?? 0,
    ...time('startedAt', state.StartedAt),
    ...time('finishedAt', state.FinishedAt),
    restartCount: found.RestartCount ?? 0,
    restartPolicy: host?.RestartPolicy?.Name || 'no',
    labels: config?.Labels ?? {},
    mounts: (found.Mounts ?? []).map((mount) => ({
      type: mount.Type ?? '',
      name: mount.Name ?? '',
      source: mount.Source ?? '',
      target: mount.Destination ?? '',
      writable: mount.RW ?? false,
    })),
    ports: Object.entries(net?.Ports ?? {}).flatMap(([containerPort, bindings]) =>
      (bindings?.length ? bindings : [{ HostIp: '', HostPort: '' }]).map((binding) => ({
        containerPort,
        hostAddress: binding.HostIp ?? '',
        hostPort: Number(binding.HostPort) || 0,
      })),
    ),
    networks: Object.fromEntries(
      Object.entries(net?.Networks ?? {}).map(([name, { IPAddress, GlobalIPv6Address }]) => [
        name,
        IPAddress || GlobalIPv6Address || '',
      ]),
    ),
  });
}

/** docker says "none" where there is no health check. */
const healthOf = (status: string | null | undefined): string => (status === 'none' ? '' : (status ?? ''));

function time<Name extends string>(name: Name, value: string | null) {
  const ms = timeOf(value ?? '');
  return ms === undefined ? {} : { [name]: timestampFromMs(ms) };
}
