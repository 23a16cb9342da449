import type { IncomingMessage, ServerResponse } from 'node:http';
import http2, { type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Logger } from '../lib/logger.ts';
import { wireLimits } from '../protocol/limits.ts';

/** The server's side of one HTTP/2 session: its limits, and who serves its streams. */

export type ListenerRequest = IncomingMessage | http2.Http2ServerRequest;
export type ListenerResponse = ServerResponse | http2.Http2ServerResponse;

export interface Http2Handlers {
  /** Every request of HTTP/1.1, and those of HTTP/2 that `onStream` left. */
  onRequest(request: ListenerRequest, response: ListenerResponse): void;
  /** Every stream of HTTP/2 first. Returns true for one that it took. */
  onStream?:
    | ((stream: ServerHttp2Stream, headers: IncomingHttpHeaders, peer: Http2Peer) => boolean)
    | undefined;
}

/** One HTTP/2 session, as its streams may see it. */
export interface Http2Peer {
  readonly openStreams: number;
}

/** Milliseconds for which a session without streams is kept. */
const idleTimeoutMs = 30_000;
/** Milliseconds in which a request must have come whole. Streams that onStream took are exempt. */
export const requestTimeoutMs = 30_000;

export const http2Limits: http2.ServerOptions = {
  settings: {
    maxConcurrentStreams: wireLimits.http2Streams,
    maxHeaderListSize: wireLimits.headerBytes,
    enableConnectProtocol: false,
  },
  maxHeaderListPairs: 128,
  maxSettings: 32,
  maxOutstandingPings: 10,
  // Megabytes. One stream at the outbound limit must not starve its neighbours behind the same proxy.
  maxSessionMemory: 16,
  maxSessionInvalidFrames: 100,
  maxSessionRejectedStreams: 100,
  // Rapid reset (CVE-2023-44487): a burst, then so many resets in a second; over it the session ends.
  streamResetBurst: 200,
  streamResetRate: 33,
};

export interface SessionWatch {
  /** Milliseconds until the first stream. */
  firstStreamMs: number;
  /** Milliseconds that an answer may wait for a client that takes nothing of it. */
  unreadMs: number;
  log: Logger;
}

/** The limits of one HTTP/2 session: its first stream must come in time, and idle it does not stay. */
export function watchSession(
  session: ServerHttp2Session,
  handlers: Http2Handlers,
  { firstStreamMs, unreadMs, log }: SessionWatch,
): void {
  let openStreams = 0;
  const peer: Http2Peer = {
    get openStreams() {
      return openStreams;
    },
  };
  const first = setTimeout(() => session.destroy(), firstStreamMs);
  session.once('close', () => clearTimeout(first));
  session.on('error', (error) => log.debug({ err: error }, 'an HTTP/2 session broke'));
  session.setTimeout(idleTimeoutMs);
  session.on('timeout', () => {
    if (openStreams === 0) session.destroy();
  });
  const onStreamClosed = (): void => {
    openStreams -= 1;
  };
  session.on('stream', (stream, headers, _flags, rawHeaders) => {
    clearTimeout(first);
    openStreams += 1;
    stream.once('close', onStreamClosed);
    stream.on('error', (error) => log.debug({ err: error }, 'an HTTP/2 stream broke'));
    // Reset while it waited for its turn; a response would throw.
    if (stream.destroyed || stream.closed) return;
    if (headerListSize(rawHeaders) > wireLimits.headerBytes) {
      stream.respond({ ':status': 431 }, { endStream: true });
      stream.close(http2.constants.NGHTTP2_NO_ERROR);
      return;
    }
    if (handlers.onStream?.(stream, headers, peer) === true) return;
    // Streams that onStream took have a bound of their own for what is unread.
    stream.setTimeout(unreadMs, () => {
      if (stream.writableLength > 0) stream.close(http2.constants.NGHTTP2_CANCEL);
    });
    serveRequest(stream, headers, rawHeaders, handlers.onRequest);
  });
}

/**
 * As RFC 9113 section 6.5.2 counts. Node holds a peer to the announced size only from its acknowledgement of
 * the settings on; what comes before that is counted here.
 */
function headerListSize(rawHeaders: readonly string[]): number {
  let size = 0;
  for (const text of rawHeaders) size += text.length;
  return size + (rawHeaders.length / 2) * 32;
}

/** Serves a stream through the request and response objects that HTTP/1.1 has too. */
function serveRequest(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  rawHeaders: readonly string[],
  onRequest: Http2Handlers['onRequest'],
): void {
  if (headers[':method'] === 'CONNECT') {
    stream.respond({ ':status': 405 }, { endStream: true });
    return;
  }
  if (!stream.endAfterHeaders) {
    const slow = setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), requestTimeoutMs);
    stream.once('end', () => clearTimeout(slow));
    stream.once('close', () => clearTimeout(slow));
  }
  const response = new http2.Http2ServerResponse(stream);
  if (headers.expect === '100-continue') response.writeContinue();
  onRequest(new http2.Http2ServerRequest(stream, headers, {}, rawHeaders), response);
}
