import { createHash } from 'node:crypto';
import { type DescFile, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { file_viworks_agent_v1_agent_service } from '#gen/viworks/agent/v1/agent_service_pb.js';
import { file_viworks_agent_v1_sealing } from '#gen/viworks/agent/v1/sealing_pb.js';
import { chooseVersion, protocolFloor, protocolHistory, protocolVersion } from './versions.ts';

/** What the messages of viworks.agent.v1 looked like in each version. */
const hashes: Readonly<Record<number, string>> = {
  1: '554ea9070d7a13b2062ec2e23a7053bdbe2da29297686f36e64569d6d71e77fa',
};

/** The files of the package, each after those it imports. */
function filesOf(file: DescFile, found: DescFile[] = []): DescFile[] {
  for (const imported of file.dependencies) filesOf(imported, found);
  if (file.proto.package === 'viworks.agent.v1' && !found.includes(file)) found.push(file);
  return found;
}

/** Over everything but comments: a rule of validation decides what is understood as much as a field does. */
function hashOf(files: readonly DescFile[]): string {
  const hash = createHash('sha256');
  for (const { proto } of files) {
    const { sourceCodeInfo: _, ...rest } = proto;
    hash.update(toBinary(FileDescriptorProtoSchema, rest));
  }
  return hash.digest('hex');
}

test('the wire is as the newest version of its history says', () => {
  const files = filesOf(file_viworks_agent_v1_sealing, filesOf(file_viworks_agent_v1_agent_service));
  expect(files.map((file) => file.name)).toEqual(
    expect.arrayContaining(['viworks/agent/v1/envelope', 'viworks/agent/v1/handshake']),
  );
  const hash = hashOf(files);
  expect(
    hash,
    `viworks.agent.v1 is no longer what version ${protocolVersion} was. Where that version was released: ` +
      'add an entry to protocolHistory in src/protocol/versions.ts that tells authors of agents what changed, ' +
      'raise protocolVersion, and add its hash here. Where it was not: replace the hash. ' +
      `The hash is now ${hash}`,
  ).toBe(hashes[protocolVersion]);
});

test('versions count from 1 without a gap, and each has a hash', () => {
  const versions = protocolHistory.map((entry) => entry.version);
  expect(versions).toEqual(versions.map((_, index) => index + 1));
  expect(Object.keys(hashes)).toEqual(versions.map(String));
  expect(versions.at(-1)).toBe(protocolVersion);
  expect(versions).toContain(protocolFloor);
  for (const { change } of protocolHistory) expect(change).not.toBe('');
});

test('the highest version that both sides speak is chosen', () => {
  expect(chooseVersion([protocolVersion + 1, protocolFloor])).toBe(protocolFloor);
  const offers = fc.array(fc.integer({ min: 0, max: protocolVersion + 3 }), { maxLength: 16 });
  fc.assert(
    fc.property(offers, (offered) => {
      const spoken = offered.filter((version) => version >= protocolFloor && version <= protocolVersion);
      const chosen = chooseVersion(offered);
      expect(chosen === undefined).toBe(spoken.length === 0);
      if (chosen !== undefined) expect(spoken.sort((a, b) => b - a)[0]).toBe(chosen);
    }),
  );
});
