import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { VerbSchema } from '#gen/viworks/control/v1/command_pb.js';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { exampleOf, fieldsOf } from '../../protocol/verb-fields.ts';
import type { VerbSpec } from '../../protocol/verbs.ts';
import type { ApiDeps } from '../deps.ts';
import { fieldView } from '../schemas/verbs.ts';
import { verbNamed } from '../verb-named.ts';
import type { Guard } from './guard.ts';

/** The catalogue of what can be submitted, over gRPC. */
export function verbMethods({ verbs }: Pick<ApiDeps, 'verbs'>, { unary }: Pick<Guard, 'unary'>) {
  const { method } = ControlService;
  return {
    listVerbs: unary(method.listVerbs, async () => ({ verbs: verbs.verbs.map(verbMessage) })),
    getVerb: unary(method.getVerb, async ({ name }) => {
      const verb = verbNamed(verbs, name);
      return {
        verb: {
          verb: verbMessage(verb),
          args: fieldsOf(verb.args).map(fieldView),
          result: fieldsOf(verb.result).map(fieldView),
          example: exampleOf(verb),
          ...(verb.args.kind === 'json' && { argsSchema: verb.args.schema }),
          ...(verb.result.kind === 'json' && { resultSchema: verb.result.schema }),
        },
      };
    }),
  };
}

function verbMessage(verb: VerbSpec): MessageInitShape<typeof VerbSchema> {
  return {
    name: verb.name,
    summary: verb.summary,
    effect: verb.effect,
    risk: verb.risk,
    defaultTimeout: durationFromMs(verb.defaultTimeoutMs),
    capability: verb.capability,
    argsMessage: verb.args.kind === 'message' ? verb.args.message.typeName : '',
    resultMessage: verb.result.kind === 'message' ? verb.result.message.typeName : '',
    positional: verb.positional,
  };
}
