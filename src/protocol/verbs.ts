import {
  createRegistry,
  type DescFile,
  type DescMessage,
  getOption,
  hasOption,
  type Registry,
} from '@bufbuild/protobuf';
import { file_viworks_verbs_v1_compose } from '#gen/viworks/verbs/v1/compose_pb.js';
import { file_viworks_verbs_v1_docker_image } from '#gen/viworks/verbs/v1/docker_image_pb.js';
import { file_viworks_verbs_v1_docker } from '#gen/viworks/verbs/v1/docker_pb.js';
import { file_viworks_verbs_v1_docker_run } from '#gen/viworks/verbs/v1/docker_run_pb.js';
import { Effect, Risk, verb as verbOption } from '#gen/viworks/verbs/v1/options_pb.js';
import { file_viworks_verbs_v1_system } from '#gen/viworks/verbs/v1/system_pb.js';

/** A verb as its protobuf option declares it: what both the server and the agent know of it. */
export interface VerbSpec {
  name: string;
  summary: string;
  effect: 'read' | 'idempotent' | 'once';
  risk: 'low' | 'elevated' | 'destructive';
  defaultTimeoutMs: number;
  capability: string;
  /** The field that arguments without a name go to; empty if there is none. */
  positional: string;
  args: DescMessage;
  result: DescMessage;
}

/** The files that declare the built-in verbs. */
export const verbFiles: readonly DescFile[] = [
  file_viworks_verbs_v1_system,
  file_viworks_verbs_v1_docker,
  file_viworks_verbs_v1_docker_run,
  file_viworks_verbs_v1_docker_image,
  file_viworks_verbs_v1_compose,
];

/** Every message that a verb may use; needed to print and parse their JSON form. */
export const verbMessages: Registry = createRegistry(...verbFiles);

const effects: Record<Effect, VerbSpec['effect']> = {
  [Effect.UNSPECIFIED]: 'once',
  [Effect.READ]: 'read',
  [Effect.IDEMPOTENT]: 'idempotent',
  [Effect.ONCE]: 'once',
};
const risks: Record<Risk, VerbSpec['risk']> = {
  [Risk.UNSPECIFIED]: 'destructive',
  [Risk.LOW]: 'low',
  [Risk.ELEVATED]: 'elevated',
  [Risk.DESTRUCTIVE]: 'destructive',
};

function readCatalogue(): ReadonlyMap<string, VerbSpec> {
  const verbs: VerbSpec[] = [];
  for (const type of verbMessages) {
    if (type.kind !== 'message' || !hasOption(type, verbOption)) continue;
    const option = getOption(type, verbOption);
    const result = verbMessages.getMessage(option.result);
    if (result === undefined) throw new Error(`verb ${option.name}: no message ${option.result}`);
    verbs.push({
      name: option.name,
      summary: option.summary,
      effect: effects[option.effect],
      risk: risks[option.risk],
      defaultTimeoutMs: Number(option.defaultTimeout?.seconds ?? 60n) * 1000,
      capability: option.capability,
      positional: option.positional,
      args: type,
      result,
    });
  }
  return new Map(verbs.sort((a, b) => a.name.localeCompare(b.name)).map((v) => [v.name, v]));
}

/** The verbs of viworks.verbs.v1 by name. */
export const verbCatalogue: ReadonlyMap<string, VerbSpec> = readCatalogue();
