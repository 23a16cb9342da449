import {
  createRegistry,
  type DescFile,
  type DescMessage,
  getOption,
  hasOption,
  type JsonObject,
  type Registry,
} from '@bufbuild/protobuf';
import { file_viworks_verbs_v1_compose } from '#gen/viworks/verbs/v1/compose_pb.js';
import { file_viworks_verbs_v1_docker_image } from '#gen/viworks/verbs/v1/docker_image_pb.js';
import { file_viworks_verbs_v1_docker } from '#gen/viworks/verbs/v1/docker_pb.js';
import { file_viworks_verbs_v1_docker_run } from '#gen/viworks/verbs/v1/docker_run_pb.js';
import { Effect, Risk, verb as verbOption } from '#gen/viworks/verbs/v1/options_pb.js';
import { file_viworks_verbs_v1_system } from '#gen/viworks/verbs/v1/system_pb.js';
import { type FieldProblem, ViworksError } from '../errors.ts';

/**
 * A verb as it is declared, by the option of a protobuf message or by a plug-in: what both the server and the
 * agent know of it.
 */
export interface VerbSpec {
  name: string;
  summary: string;
  effect: 'read' | 'idempotent' | 'once';
  risk: 'low' | 'elevated' | 'destructive';
  defaultTimeoutMs: number;
  capability: string;
  /** The field that arguments without a name go to; empty if there is none. */
  positional: string;
  args: VerbType;
  result: VerbType;
}

/** What args or a result may be: a message of viworks.verbs.v1, or what the JSON Schema of a plug-in allows. */
export type VerbType = MessageType | JsonType;

export interface MessageType {
  kind: 'message';
  message: DescMessage;
}

export interface JsonType {
  kind: 'json';
  /** JSON Schema 2020-12 of an object. */
  schema: JsonObject;
  /** Puts the schema's defaults into the value, and says what of it is wrong; empty if nothing. */
  check(value: JsonObject): FieldProblem[];
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

function readBuiltIns(): VerbSpec[] {
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
      args: { kind: 'message', message: type },
      result: { kind: 'message', message: result },
    });
  }
  return verbs;
}

/** Verbs by name, in the order of the alphabet. */
export interface VerbCatalogue {
  get(name: string): VerbSpec | undefined;
  readonly verbs: readonly VerbSpec[];
  readonly names: readonly string[];
  /** What may be repeated; of a verb that is not known it is taken that it must not happen twice. */
  effectOf(name: string): VerbSpec['effect'];
}

/** The verbs of one plug-in file. */
export interface PluginVerbs {
  /** Path of the file, for messages. */
  file: string;
  verbs: readonly VerbSpec[];
}

/** The built-in verbs and those of plug-ins. @throws config_invalid where two files declare the same verb */
export function createVerbCatalogue(plugins: readonly PluginVerbs[] = []): VerbCatalogue {
  const byName = new Map(builtInVerbs.map((verb) => [verb.name, { verb, file: 'ViWorkS itself' }]));
  for (const { file, verbs } of plugins) {
    for (const verb of verbs) {
      const other = byName.get(verb.name);
      if (other !== undefined)
        throw new ViworksError(
          'config_invalid',
          `${file}: ${verb.name} is declared by ${other.file} already`,
        );
      byName.set(verb.name, { verb, file });
    }
  }
  const verbs = [...byName.values()].map(({ verb }) => verb).sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    get: (name) => byName.get(name)?.verb,
    verbs,
    names: verbs.map((verb) => verb.name),
    effectOf: (name) => byName.get(name)?.verb.effect ?? 'once',
  };
}

/** The verbs of viworks.verbs.v1. */
export const builtInVerbs: readonly VerbSpec[] = readBuiltIns();

/** The catalogue without plug-ins. */
export const builtInCatalogue: VerbCatalogue = createVerbCatalogue();
