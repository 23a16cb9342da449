import http from 'node:http';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import {
  AgentService,
  type EnrollRequestSchema,
  type EnrollResponse,
  type RequestEnrollmentRequestSchema,
  type RequestEnrollmentResponse,
} from '#gen/viworks/agent/v1/agent_service_pb.js';
import type {
  RenewCertificateRequestSchema,
  RenewCertificateResponse,
} from '#gen/viworks/agent/v1/certificate_pb.js';
import type { ViworksError } from '../../errors.ts';
import { wireLimits } from '../../protocol/limits.ts';
import { errorCodeHeader, errorFromWire, retryAfterHeader, wireStatus } from '../../protocol/status.ts';
import type { DialOptions } from './connect.ts';
import { connectTls } from './tls.ts';

/** Enrols over HTTP/1.1, which every proxy passes; the socket is closed with the answer. */
export const enroll = (
  options: DialOptions,
  request: MessageInitShape<typeof EnrollRequestSchema>,
  signal: AbortSignal,
): Promise<EnrollResponse> => calling(options, signal, (client) => client.enroll(request, { signal }));

/** Asks to be enrolled; the server may wait a while before it answers. */
export const requestEnrollment = (
  options: DialOptions,
  request: MessageInitShape<typeof RequestEnrollmentRequestSchema>,
  signal: AbortSignal,
): Promise<RequestEnrollmentResponse> =>
  calling(options, signal, (client) => client.requestEnrollment(request, { signal }));

/** A nonce for `renewCertificate`. */
export const challengeRenewal = async (options: DialOptions, signal: AbortSignal): Promise<Uint8Array> =>
  (await calling(options, signal, (client) => client.challengeRenewal({}, { signal }))).nonce;

/** Asks for a certificate outside of a session. */
export const renewCertificate = (
  options: DialOptions,
  request: MessageInitShape<typeof RenewCertificateRequestSchema>,
  signal: AbortSignal,
): Promise<RenewCertificateResponse> =>
  calling(options, signal, (client) => client.renewCertificate(request, { signal }));

async function calling<T>(
  options: DialOptions,
  signal: AbortSignal,
  call: (client: Client<typeof AgentService>) => Promise<T>,
): Promise<T> {
  const url = new URL(options.url);
  const secure = url.protocol === 'https:';
  const socket = secure ? await connectTls(url, options.tls, 'http/1.1', signal) : undefined;
  const agent = new http.Agent({ keepAlive: false });
  const client = createClient(
    AgentService,
    createConnectTransport({
      baseUrl: options.url,
      httpVersion: '1.1',
      nodeOptions: socket === undefined ? { agent } : { createConnection: () => socket },
      acceptCompression: [],
      readMaxBytes: wireLimits.messageBytes,
    }),
  );
  try {
    return await call(client);
  } catch (thrown) {
    throw fromConnectError(ConnectError.from(thrown), url);
  } finally {
    socket?.destroy();
    agent.destroy();
  }
}

const nameOfCode = new Map<Code, string>(
  Object.values(wireStatus).map((status) => [status.grpc, status.connect]),
);

function fromConnectError(error: ConnectError, { host }: URL): ViworksError {
  // Somebody else's answer: the port for applications, or a proxy that does not pass this on.
  const message =
    error.rawMessage === 'HTTP 404' ? `No agents' port answers at ${host}: HTTP 404.` : error.rawMessage;
  return errorFromWire({
    connect: error.code === Code.Unknown ? 'unavailable' : nameOfCode.get(error.code),
    message,
    code: error.metadata.get(errorCodeHeader) ?? undefined,
    retryAfter: error.metadata.get(retryAfterHeader) ?? undefined,
  });
}
