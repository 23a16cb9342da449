import type { JsonObject, Message } from '@bufbuild/protobuf';
import type { Duration, Timestamp } from '@bufbuild/protobuf/wkt';
import type {
  ComposeDownArgs,
  ComposeLogsArgs,
  ComposePsArgs,
  ComposeUpArgs,
} from '#gen/viworks/verbs/v1/compose_pb.js';
import type { DockerBuildArgs, DockerPullArgs } from '#gen/viworks/verbs/v1/docker_image_pb.js';
import type {
  DockerInspectArgs,
  DockerLogsArgs,
  DockerPsArgs,
  DockerStatsArgs,
} from '#gen/viworks/verbs/v1/docker_pb.js';
import type {
  DockerExecArgs,
  DockerRmArgs,
  DockerRunArgs,
  DockerStopArgs,
} from '#gen/viworks/verbs/v1/docker_run_pb.js';
import type {
  ExecArgs,
  FileReadArgs,
  ServiceStatusArgs,
  SystemInfoArgs,
} from '#gen/viworks/verbs/v1/system_pb.js';

/**
 * The args of each verb as a caller in TypeScript writes them. For verbs of a plug-in, declare theirs:
 *
 *   declare module 'viworks/client' {
 *     interface VerbArgs { 'panel.user.delete': { username: string } }
 *   }
 */
export interface VerbArgs {
  'compose.down': ArgsOf<ComposeDownArgs>;
  'compose.logs': ArgsOf<ComposeLogsArgs>;
  'compose.ps': ArgsOf<ComposePsArgs>;
  'compose.up': ArgsOf<ComposeUpArgs>;
  'docker.build': ArgsOf<DockerBuildArgs>;
  'docker.exec': ArgsOf<DockerExecArgs>;
  'docker.inspect': ArgsOf<DockerInspectArgs>;
  'docker.logs': ArgsOf<DockerLogsArgs>;
  'docker.ps': ArgsOf<DockerPsArgs>;
  'docker.pull': ArgsOf<DockerPullArgs>;
  'docker.rm': ArgsOf<DockerRmArgs>;
  'docker.run': ArgsOf<DockerRunArgs>;
  'docker.stats': ArgsOf<DockerStatsArgs>;
  'docker.stop': ArgsOf<DockerStopArgs>;
  exec: ArgsOf<ExecArgs>;
  'file.read': ArgsOf<FileReadArgs>;
  'service.status': ArgsOf<ServiceStatusArgs>;
  'system.info': ArgsOf<SystemInfoArgs>;
}

/** The JSON form of a message: every field may be left out, and what must not is said at submit. */
export type ArgsOf<M> = { [Field in Exclude<keyof M, '$typeName' | '$unknown'>]?: JsonOf<M[Field]> };

type JsonOf<T> = T extends undefined
  ? never
  : T extends bigint
    ? number | string
    : T extends Uint8Array
      ? string
      : T extends Timestamp | Duration
        ? string
        : T extends readonly (infer Item)[]
          ? JsonOf<Item>[]
          : T extends Message
            ? ArgsOf<T>
            : T extends object
              ? { [Key in keyof T]: JsonOf<T[Key]> }
              : T;

declare const other: unique symbol;

/** A verb whose args are not known to the compiler; see otherVerb. */
export type OtherVerb = string & { readonly [other]: true };

/** For verbs that VerbArgs does not name: their args are any JSON object, and are checked at submit alone. */
export const otherVerb = (name: string): OtherVerb => name as OtherVerb;

/** What is asked of a verb: its name and args that go with it. */
export type VerbWithArgs =
  | { [Verb in keyof VerbArgs]: { verb: Verb; args?: VerbArgs[Verb] | undefined } }[keyof VerbArgs]
  | { verb: OtherVerb; args?: JsonObject | undefined };
