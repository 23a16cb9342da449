import type {
  DescMessage,
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import { Code, ConnectError, type HandlerContext } from '@connectrpc/connect';
import { ViworksError } from '../../errors.ts';
import type { Actor } from '../../identity/types.ts';
import { remoteAddress } from '../../protocol/peer.ts';
import { assertValid } from '../../protocol/validation.ts';
import { auditOf, type CallAudit } from '../audited.ts';
import { authorize, controlOperations, tokenIn } from '../authorize.ts';
import { countSuccess, recordFailure, withinDeadline } from '../call.ts';
import { type Core, type CoreDeps, coreFor } from '../core.ts';
import type { ApiDeps } from '../deps.ts';
import { closing, type Standing, watchStanding } from '../standing.ts';
import { toConnectError } from './errors.ts';

/** What a method of the control service gets beside its request. */
export interface Call {
  actor: Actor;
  /** The services as this caller sees them. */
  core: Core;
  /** Aborts when the caller goes away, its deadline passes or the server stops. */
  signal: AbortSignal;
}

type Deps = CoreDeps & Pick<ApiDeps, 'userTokens' | 'limits' | 'metrics' | 'log' | 'trail'>;

/** Wraps methods in what all share: who calls and may it, the rules of the proto file, the form of errors. */
export function createGuard(deps: Deps) {
  async function admit(method: DescMethod, context: HandlerContext): Promise<Call & { audit: CallAudit }> {
    const { requestHeader, responseHeader, values, signal } = context;
    const address = values.get(remoteAddress);
    const audit = auditOf(deps.trail, {
      address: address || undefined,
      header: (name) => requestHeader.get(name),
    });
    let actor: Actor | undefined;
    try {
      const caller = { address, token: tokenOf(context) };
      actor = await deps.limits.identify(caller, deps.userTokens.verify);
      await deps.limits.countCall(actor, address, (headers) => {
        for (const [name, value] of Object.entries(headers)) responseHeader.set(name, value);
      });
      authorize(actor, operationOf(method));
      audit.admitted(actor);
      return { actor, core: coreFor(deps, actor), signal, audit };
    } catch (thrown) {
      audit.refused(operationOf(method), actor, ViworksError.from(thrown));
      throw thrown;
    }
  }

  function refusal(method: DescMethod, thrown: unknown): ConnectError {
    const error = ViworksError.from(thrown);
    recordFailure(deps, 'grpc', operationOf(method), error);
    return toConnectError(error);
  }

  return {
    unary<I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      work: (request: MessageShape<I>, call: Call) => Promise<MessageInitShape<O>>,
    ) {
      return async (request: MessageShape<I>, context: HandlerContext): Promise<MessageInitShape<O>> => {
        try {
          const { audit, ...call } = await admit(method, context);
          const response = await withinDeadline(
            audit.run(
              operationOf(method),
              call.actor,
              () => request,
              async () => {
                assertValid(method.input, request);
                return work(request, call);
              },
            ),
          );
          countSuccess(deps, 'grpc', operationOf(method));
          return response;
        } catch (thrown) {
          throw refusal(method, thrown);
        }
      };
    },

    stream<I extends DescMessage, O extends DescMessage>(
      method: DescMethodServerStreaming<I, O>,
      work: (request: MessageShape<I>, call: Call) => AsyncIterable<MessageInitShape<O>>,
    ) {
      return async function* (
        request: MessageShape<I>,
        context: HandlerContext,
      ): AsyncGenerator<MessageInitShape<O>, void, undefined> {
        let standing: Standing | undefined;
        try {
          const call = await admit(method, context);
          assertValid(method.input, request);
          const close = deps.limits.openStream(call.actor, context.values.get(remoteAddress));
          standing = closing(watchStanding(deps.userTokens, tokenOf(context)), close);
          const signal = AbortSignal.any([call.signal, standing.signal]);
          yield* work(request, { ...call, signal });
          context.signal.throwIfAborted();
          standing.signal.throwIfAborted();
          countSuccess(deps, 'grpc', operationOf(method));
        } catch (thrown) {
          throw refusal(method, context.signal.aborted ? interruption(context.signal.reason) : thrown);
        } finally {
          standing?.end();
        }
      };
    },
  };
}

export type Guard = ReturnType<typeof createGuard>;

const tokenOf = (context: HandlerContext) => tokenIn(context.requestHeader.get('authorization'));

function operationOf(method: DescMethod): string {
  return controlOperations.get(method.localName) ?? 'unknown';
}

/** Why a stream ended before its time: a stop of the server is worth another try elsewhere. */
function interruption(reason: unknown): ViworksError {
  const code = reason instanceof ConnectError ? reason.code : undefined;
  if (code === Code.DeadlineExceeded) return new ViworksError('deadline_exceeded', 'The deadline passed.');
  if (code === Code.Canceled || code === Code.Aborted) {
    return new ViworksError('cancelled', 'The caller went away.');
  }
  return new ViworksError('draining', 'The server stops; connect again.');
}
