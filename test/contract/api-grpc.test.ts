import { create, createFileRegistry, type DescService, fromBinary, getOption } from '@bufbuild/protobuf';
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import { createClient } from '@connectrpc/connect';
import { describe, expect, test } from 'vitest';
import { Health, HealthCheckResponse_ServingStatus as Status } from '#gen/grpc/health/v1/health_pb.js';
import { ServerReflection as ReflectionV1 } from '#gen/grpc/reflection/v1/reflection_pb.js';
import { ServerReflection as ReflectionV1Alpha } from '#gen/grpc/reflection/v1alpha/reflection_pb.js';
import { verb } from '#gen/viworks/verbs/v1/options_pb.js';
import { startApi, type TestApi } from '../support/api-server.ts';

type Question = NonNullable<Parameters<typeof questions>[0][number]>;
type Reflection = typeof ReflectionV1;

async function* questions(asked: { case: string; value: unknown }[]) {
  for (const messageRequest of asked) yield { host: 'h', messageRequest };
}

/** Asks over one stream; both versions have the same shape under different names. */
async function ask(api: TestApi, service: DescService, asked: Question[]) {
  const client = createClient(service as Reflection, api.transport('grpc'));
  const requests = questions(asked) as unknown as Parameters<typeof client.serverReflectionInfo>[0];
  const answers = [];
  for await (const response of client.serverReflectionInfo(requests)) {
    expect(response.validHost).toBe('h');
    answers.push(response.messageResponse);
  }
  return answers;
}

type Answer = Awaited<ReturnType<typeof ask>>[number] | undefined;

function filesOf(answer: Answer): FileDescriptorProto[] {
  if (answer?.case !== 'fileDescriptorResponse') throw new Error(`no files but ${answer?.case}`);
  return answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
}

/** Builds what the files describe, from nothing but them. */
function registryOf(files: FileDescriptorProto[]) {
  const ordered = new Set<FileDescriptorProto>();
  const add = (file: FileDescriptorProto) => {
    for (const name of file.dependency) {
      const needed = files.find((each) => each.name === name);
      if (needed === undefined) throw new Error(`${name} is missing`);
      add(needed);
    }
    ordered.add(file);
  };
  files.forEach(add);
  return createFileRegistry(create(FileDescriptorSetSchema, { file: [...ordered] }));
}

describe.each([ReflectionV1, ReflectionV1Alpha])('%s', (service) => {
  test('lists the services, needs no token', async () => {
    await using api = await startApi();
    const [answer] = await ask(api, service, [{ case: 'listServices', value: '' }]);
    if (answer?.case !== 'listServicesResponse') throw new Error('no list');
    expect(answer.value.service.map(({ name }) => name)).toEqual([
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
      'viworks.control.v1.ControlService',
    ]);
  });

  test('gives a file with all it needs, by any name in it', async () => {
    await using api = await startApi();
    const symbols = [
      'viworks.control.v1.ControlService',
      'viworks.control.v1.ControlService.SubmitCommand',
      'viworks.control.v1.CommandSpec',
      'viworks.control.v1.CommandSpec.args',
      'viworks.control.v1.Target.target',
      'viworks.control.v1.PRIORITY_HIGH',
      'viworks.verbs.v1.SystemInfoResult.FileSystem',
      'viworks.verbs.v1.verb',
      'google.rpc.BadRequest.FieldViolation',
      'google.protobuf.Timestamp',
    ];
    const answers = await ask(
      api,
      service,
      symbols.map((value) => ({ case: 'fileContainingSymbol', value })),
    );
    const names = answers.map((answer) => filesOf(answer)[0]?.name);
    expect(names).toEqual([
      'viworks/control/v1/control_service.proto',
      'viworks/control/v1/control_service.proto',
      'viworks/control/v1/command.proto',
      'viworks/control/v1/command.proto',
      'viworks/control/v1/command.proto',
      'viworks/control/v1/command.proto',
      'viworks/verbs/v1/system.proto',
      'viworks/verbs/v1/options.proto',
      'google/rpc/error_details.proto',
      'google/protobuf/timestamp.proto',
    ]);
    // A set is complete when it builds on its own.
    for (const answer of answers) expect(() => registryOf(filesOf(answer))).not.toThrow();
  });

  test('gives files by name and keeps custom options', async () => {
    await using api = await startApi();
    const [answer, absent] = await ask(api, service, [
      { case: 'fileByFilename', value: 'viworks/verbs/v1/system.proto' },
      { case: 'fileByFilename', value: 'no/such.proto' },
    ]);
    const args = registryOf(filesOf(answer)).getMessage('viworks.verbs.v1.ExecArgs');
    if (args === undefined) throw new Error('no ExecArgs');
    expect(getOption(args, verb).name).toBe('exec');
    expect(absent).toMatchObject({ case: 'errorResponse', value: { errorCode: 5 } });
  });

  test('finds extensions', async () => {
    await using api = await startApi();
    const options = 'google.protobuf.MessageOptions';
    const [file, numbers, absent, nothing] = await ask(api, service, [
      { case: 'fileContainingExtension', value: { containingType: options, extensionNumber: 50001 } },
      { case: 'allExtensionNumbersOfType', value: options },
      { case: 'allExtensionNumbersOfType', value: 'no.such.Message' },
      { case: 'fileContainingExtension', value: { containingType: options, extensionNumber: 1 } },
    ]);
    expect(filesOf(file)[0]?.name).toBe('viworks/verbs/v1/options.proto');
    expect(numbers).toMatchObject({ value: { baseTypeName: options, extensionNumber: [1159, 50001] } });
    expect(absent).toMatchObject({ case: 'errorResponse', value: { errorCode: 5 } });
    expect(nothing).toMatchObject({ case: 'errorResponse', value: { errorCode: 5 } });
  });
});

test('a filter by a number that no state has is refused, and not left out', async () => {
  await using api = await startApi();
  const client = await api.control('grpc', 'viewer');
  const unknown: number = 99;
  await expect(client.listCommands({ filter: { state: unknown } })).rejects.toThrow(
    /invalid_argument.*state/,
  );
  await expect(client.listAgents({ filter: { status: unknown } })).rejects.toThrow(
    /invalid_argument.*status/,
  );
});

describe('grpc.health.v1', () => {
  const control = 'viworks.control.v1.ControlService';

  test('checks and lists without a token, and knows what it does not serve', async () => {
    await using api = await startApi();
    const client = createClient(Health, api.transport('grpc'));
    expect((await client.check({})).status).toBe(Status.SERVING);
    api.healthSource.set('not_serving');
    expect((await client.check({ service: control })).status).toBe(Status.NOT_SERVING);
    const { statuses } = await client.list({});
    expect(Object.keys(statuses).sort()).toEqual(['', control]);
    await expect(client.check({ service: 'no.such.Service' })).rejects.toThrow(/not_found/);
  });

  test('a watch tells each change once and ends with the server', async () => {
    await using api = await startApi();
    const client = createClient(Health, api.transport('grpc'));
    const seen: Status[] = [];
    for await (const { status } of client.watch({ service: control })) {
      seen.push(status);
      // Setting the same status again changes nothing; the last step stops the server's streams.
      if (seen.length === 1) api.healthSource.set('serving');
      if (seen.length === 1) api.healthSource.set('not_serving');
      if (seen.length === 2) api.healthSource.set('serving');
      if (seen.length === 3) api.stopStreams();
    }
    expect(seen).toEqual([Status.SERVING, Status.NOT_SERVING, Status.SERVING]);
    expect(api.healthSource.listeners()).toBe(0);
  });

  test('a watch of an unknown service waits instead of failing', async () => {
    await using api = await startApi();
    const client = createClient(Health, api.transport('connect'));
    for await (const { status } of client.watch({ service: 'no.such.Service' })) {
      expect(status).toBe(Status.SERVICE_UNKNOWN);
      api.stopStreams();
    }
    expect(api.healthSource.listeners()).toBe(0);
  });
});
