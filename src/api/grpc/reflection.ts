import type { DescFile, DescService } from '@bufbuild/protobuf';
import { Code, type ConnectRouter, type HandlerContext } from '@connectrpc/connect';
import {
  type ServerReflectionRequest,
  ServerReflection as ServerReflectionV1,
} from '#gen/grpc/reflection/v1/reflection_pb.js';
import {
  type ServerReflectionRequest as ServerReflectionRequestV1Alpha,
  ServerReflection as ServerReflectionV1Alpha,
} from '#gen/grpc/reflection/v1alpha/reflection_pb.js';
import { ViworksError } from '../../errors.ts';
import { wireLimits } from '../../protocol/limits.ts';
import { remoteAddress } from '../../protocol/peer.ts';
import type { CallLimits } from '../limits.ts';
import { type DescriptorIndex, indexDescriptors, withDependencies } from './descriptors.ts';
import { toConnectError } from './errors.ts';

/**
 * Server reflection tells tools such as grpcurl what can be called. It needs no token: it shows nothing but
 * the published proto files, and a tool asks before its user has said which token to send.
 *
 * Both versions have the same messages under different names, and one function answers both.
 * @param files beside those of the services
 */
export function reflectionRoutes(
  services: readonly DescService[],
  files: readonly DescFile[],
  limits: Pick<CallLimits, 'countAddress'>,
): (router: ConnectRouter) => void {
  const index = indexDescriptors([...services, ServerReflectionV1, ServerReflectionV1Alpha], files);
  const options = { readMaxBytes: wireLimits.messageBytes };
  /** One call for each stream of questions. */
  const admit = async ({ values }: HandlerContext): Promise<void> => {
    try {
      await limits.countAddress(values.get(remoteAddress));
    } catch (thrown) {
      throw toConnectError(ViworksError.from(thrown));
    }
  };
  return (router) => {
    router.service(
      ServerReflectionV1,
      {
        async *serverReflectionInfo(
          requests: AsyncIterable<ServerReflectionRequest>,
          context: HandlerContext,
        ) {
          await admit(context);
          for await (const request of requests) {
            const messageResponse = answer(index, request.messageRequest);
            yield { validHost: request.host, originalRequest: request, messageResponse };
          }
        },
      },
      options,
    );
    router.service(
      ServerReflectionV1Alpha,
      {
        async *serverReflectionInfo(
          requests: AsyncIterable<ServerReflectionRequestV1Alpha>,
          context: HandlerContext,
        ) {
          await admit(context);
          for await (const request of requests) {
            const messageResponse = answer(index, request.messageRequest);
            yield { validHost: request.host, originalRequest: request, messageResponse };
          }
        },
      },
      options,
    );
  };
}

type Question = ServerReflectionRequest['messageRequest'] | ServerReflectionRequestV1Alpha['messageRequest'];

function answer(index: DescriptorIndex, question: Question) {
  switch (question.case) {
    case 'listServices':
      return {
        case: 'listServicesResponse' as const,
        value: { service: index.services.map((name) => ({ name })) },
      };
    case 'fileByFilename':
      return fileAnswer(index.fileByName(question.value), question.value);
    case 'fileContainingSymbol':
      return fileAnswer(index.fileBySymbol(question.value), question.value);
    case 'fileContainingExtension': {
      const { containingType, extensionNumber } = question.value;
      const file = index.fileByExtension(containingType, extensionNumber);
      return fileAnswer(file, `extension ${extensionNumber} of ${containingType}`);
    }
    case 'allExtensionNumbersOfType': {
      const numbers = index.extensionNumbers(question.value);
      if (numbers === undefined) return failure(Code.NotFound, `There is no ${question.value}.`);
      return {
        case: 'allExtensionNumbersResponse' as const,
        value: { baseTypeName: question.value, extensionNumber: [...numbers] },
      };
    }
    case undefined:
      return failure(Code.InvalidArgument, 'The request asks for nothing that is known here.');
  }
}

function fileAnswer(file: DescFile | undefined, asked: string) {
  if (file === undefined) return failure(Code.NotFound, `There is no ${asked}.`);
  return {
    case: 'fileDescriptorResponse' as const,
    value: { fileDescriptorProto: withDependencies(file) },
  };
}

function failure(errorCode: Code, errorMessage: string) {
  return { case: 'errorResponse' as const, value: { errorCode, errorMessage } };
}
