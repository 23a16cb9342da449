import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { ViworksError } from '../errors.ts';
import { type AddressList, clientAddress } from '../lib/addresses.ts';
import type { AcceptConnection, Peer } from '../protocol/connection.ts';
import { createFramedConnection, type FramedEnds } from '../protocol/framed-connection.ts';
import { frameEndOfStream, joinFrames } from '../protocol/frames.ts';
import { certificateOf } from '../protocol/peer-certificate.ts';
import { errorHeaders, unimplemented, type WireStatus, wireStatus } from '../protocol/status.ts';
import { tlsExporterOf } from '../protocol/tls-exporter.ts';
import type { Http2Peer } from './http2-session.ts';
import { type Newcomers, socketName } from './newcomers.ts';

/**
 * The agent's bidirectional stream by hand on node:http2, for the Connect protocol and for gRPC. Both carry
 * the same frames; they differ in their headers and in how they say that the stream ended: Connect with a
 * flagged frame of JSON, gRPC with trailers.
 */

export const agentStreamPath = '/viworks.agent.v1.AgentService/Open';

interface StreamType {
  transport: 'connect' | 'grpc';
  encoding: Peer['encoding'];
  /** Names the compression of the messages. */
  compressionHeader: string;
}

const connectType = (encoding: Peer['encoding']): StreamType => ({
  transport: 'connect',
  encoding,
  compressionHeader: 'connect-content-encoding',
});
const grpcType: StreamType = {
  transport: 'grpc',
  encoding: 'binary',
  compressionHeader: 'grpc-encoding',
};
const streamTypes: ReadonlyMap<string, StreamType> = new Map([
  ['application/connect+proto', connectType('binary')],
  ['application/connect+json', connectType('json')],
  ['application/grpc', grpcType],
  ['application/grpc+proto', grpcType],
]);

/** Counts the connections of a listener against its limit. */
export interface Admission {
  /** Takes a place, or says why there is none. The taker gives it back when its connection ends. */
  enter(): ViworksError | undefined;
  leave(): void;
}

export interface AgentStreamDeps {
  accept: AcceptConnection;
  admission: Admission;
  newcomers: Pick<Newcomers, 'settled'>;
  /** Believed about whom they speak for. */
  proxies: AddressList;
}

export function serveAgentStream(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  http2Peer: Http2Peer,
  deps: AgentStreamDeps,
): void {
  if (headers[':method'] !== 'POST') {
    stream.respond({ ':status': 405, allow: 'POST' }, { endStream: true });
    return;
  }
  const contentType = (headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const type = streamTypes.get(contentType);
  if (type === undefined) {
    stream.respond(
      { ':status': 415, 'accept-post': [...streamTypes.keys()].join(', ') },
      { endStream: true },
    );
    return;
  }
  const compression = headers[type.compressionHeader];
  if (compression !== undefined && compression !== 'identity') {
    refuse(stream, type, contentType, unimplemented, 'Compression is not offered.', {});
    return;
  }
  const full = deps.admission.enter();
  if (full !== undefined) {
    refuse(stream, type, contentType, wireStatus[full.kind], full.message, errorHeaders(full));
    return;
  }
  stream.once('close', deps.admission.leave);

  // At once, so that the dialer knows that it speaks to us and not to a proxy that swallows streams.
  const grpc = type.transport === 'grpc';
  stream.respond(
    { ':status': 200, 'content-type': contentType, ...(grpc ? { 'grpc-accept-encoding': 'identity' } : {}) },
    { waitForTrailers: grpc },
  );
  const socket = stream.session?.socket;
  const name = socketName(socket);
  const peer: Peer = {
    transport: type.transport,
    encoding: type.encoding,
    remoteAddress: clientAddress(socket?.remoteAddress ?? '', headers['x-forwarded-for'], deps.proxies),
    tls: (socket as TLSSocket | undefined)?.encrypted === true,
    tlsExporter: tlsExporterOf(socket),
    certificate: certificateOf(socket),
  };
  const ends: FramedEnds = {
    finish: grpc ? finishGrpc(stream) : finishConnect(stream),
    abort() {
      // A half-open peer answers nothing: where the stream was its last, the socket goes too.
      if (http2Peer.openStreams <= 1) stream.session?.destroy();
      else stream.close(constants.NGHTTP2_CANCEL);
      stream.destroy();
    },
    endedSilently: () => undefined,
  };
  const { connection, start } = createFramedConnection(stream, peer, ends);
  try {
    start(deps.accept(connection, () => deps.newcomers.settled(name)));
  } catch (thrown) {
    connection.close(ViworksError.from(thrown));
  }
}

function finishConnect(stream: ServerHttp2Stream): FramedEnds['finish'] {
  return (rest, error) => {
    const last = joinFrames([connectEnd(error)], frameEndOfStream);
    stream.end(rest === undefined ? last : Buffer.concat([rest, last]));
  };
}

function connectEnd(error: ViworksError | undefined): Buffer {
  if (error === undefined) return Buffer.from('{}');
  const { connect } = wireStatus[error.kind];
  return endOfStream(connect, error.message, errorHeaders(error));
}

function endOfStream(code: string, message: string, headers: Record<string, string>): Buffer {
  const metadata = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]]));
  return Buffer.from(JSON.stringify({ error: { code, message }, metadata }));
}

function finishGrpc(stream: ServerHttp2Stream): FramedEnds['finish'] {
  return (rest, error) => {
    stream.once('wantTrailers', () => {
      stream.sendTrailers(
        error === undefined
          ? { 'grpc-status': '0' }
          : grpcTrailers(wireStatus[error.kind], error.message, errorHeaders(error)),
      );
    });
    if (rest === undefined) stream.end();
    else stream.end(rest);
  };
}

const grpcTrailers = (status: WireStatus, message: string, headers: Record<string, string>) => ({
  'grpc-status': String(status.grpc),
  'grpc-message': percentEncoded(message),
  ...headers,
});

/** Ends a stream before it began: a frame of Connect, or the trailers of gRPC in place of its headers. */
function refuse(
  stream: ServerHttp2Stream,
  type: StreamType,
  contentType: string,
  status: WireStatus,
  message: string,
  headers: Record<string, string>,
): void {
  const response = { ':status': 200, 'content-type': contentType };
  if (type.transport === 'grpc') {
    const accepted = { 'grpc-accept-encoding': 'identity' };
    stream.respond(
      { ...response, ...accepted, ...grpcTrailers(status, message, headers) },
      { endStream: true },
    );
    return;
  }
  stream.respond({ ...response, 'connect-accept-encoding': 'identity', ...headers });
  stream.end(joinFrames([endOfStream(status.connect, message, headers)], frameEndOfStream));
}

/** The encoding of grpc-message: all but printable ASCII, and the percent sign, as %XX of its UTF-8. */
function percentEncoded(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text)) {
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}
