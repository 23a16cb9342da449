import http2, {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import { ViworksError } from '../../errors.ts';
import type { Dialer, Peer } from '../../protocol/connection.ts';
import { createFramedConnection, type FramedEnds } from '../../protocol/framed-connection.ts';
import { wireLimits } from '../../protocol/limits.ts';
import { errorCodeHeader, errorFromWire, retryAfterHeader } from '../../protocol/status.ts';
import { tlsExporterOf } from '../../protocol/tls-exporter.ts';
import { connectTls, type TlsSource } from './tls.ts';

/** Dials the bidirectional stream over HTTP/2, in the Connect protocol, by hand on node:http2. */

export interface DialOptions {
  /** Of the agent listener: `http://host:port` or `https://host:port`. */
  url: string;
  tls?: TlsSource;
}

const contentType = 'application/connect+proto';

export function createConnectDialer(options: DialOptions): Dialer {
  const url = new URL(options.url);
  return {
    transport: 'connect',
    async dial(handler, signal) {
      const secure = url.protocol === 'https:';
      const socket = secure ? await connectTls(url, options.tls, 'h2', signal) : undefined;
      const session = http2.connect(url, {
        ...(socket === undefined ? {} : { createConnection: () => socket }),
        settings: { enablePush: false, maxHeaderListSize: wireLimits.headerBytes },
        maxSessionMemory: 16,
      });
      const stream = openStream(session, url);
      const open = (remoteAddress: string) =>
        connectionOver(session, stream, {
          transport: 'connect',
          encoding: 'binary',
          remoteAddress,
          tls: secure,
          tlsExporter: tlsExporterOf(session.socket),
        });
      try {
        const { connection, start } = await answered(session, stream, signal, open);
        // After the caller has its connection: what comes at once must find an owner that knows it.
        setImmediate(start, handler);
        return connection;
      } catch (thrown) {
        session.destroy();
        throw thrown;
      }
    },
  };
}

function openStream(session: ClientHttp2Session, url: URL): ClientHttp2Stream {
  return session.request({
    ':method': 'POST',
    ':path': `${url.pathname.replace(/\/$/, '')}/viworks.agent.v1.AgentService/Open`,
    'content-type': contentType,
    'connect-protocol-version': '1',
  });
}

/**
 * Waits for the headers of the response: a peer that speaks only HTTP/1.1, or a proxy that takes the socket
 * and then breaks, is found out here, at once and not by a time limit. `open` is called before any other
 * event of the stream, so that none is missed.
 */
function answered<T>(
  session: ClientHttp2Session,
  stream: ClientHttp2Stream,
  signal: AbortSignal,
  open: (remoteAddress: string) => T,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const fail = (reason: string, cause?: unknown): void => {
    reject(new ViworksError('unavailable', `No HTTP/2 stream: ${reason}.`, { cause }));
  };
  const onAbort = (): void => fail('the time is over or the caller went away', signal.reason);
  session.on('error', (error) => fail(reasonOf(error), error));
  stream.on('error', (error) => fail(reasonOf(error), error));
  stream.once('close', () => fail('the peer closed it'));
  stream.once('response', (headers) => {
    const refused = refusalIn(headers);
    if (refused === undefined) resolve(open(session.socket.remoteAddress ?? ''));
    else reject(refused);
  });
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  return promise.finally(() => signal.removeEventListener('abort', onAbort));
}

function refusalIn(
  headers: IncomingHttpHeaders & { ':status'?: number | undefined },
): ViworksError | undefined {
  const status = headers[':status'];
  if (status !== 200) {
    const { retryAfterMs } = errorFromWire({ message: '', retryAfter: headers[retryAfterHeader] });
    const wait = retryAfterMs === undefined ? {} : { retryAfterMs };
    return new ViworksError('unavailable', `No HTTP/2 stream: the peer answered ${status}.`, wait);
  }
  if (headers['content-type'] !== contentType) {
    return new ViworksError(
      'unavailable',
      `No HTTP/2 stream: the peer answered with ${headers['content-type']}.`,
    );
  }
  return undefined;
}

function reasonOf(error: Error & { code?: string }): string {
  // What nghttp2 says when it reads an answer of HTTP/1.1.
  if (error.code === 'ERR_HTTP2_ERROR' || error.code === 'ERR_HTTP2_SESSION_ERROR') {
    return 'the peer does not speak HTTP/2';
  }
  return error.message || (error.code ?? 'unknown');
}

function connectionOver(session: ClientHttp2Session, stream: ClientHttp2Stream, peer: Peer) {
  stream.once('close', () => session.close());
  const ends: FramedEnds = {
    finish(rest, error) {
      if (error === undefined) {
        stream.end(rest);
        return;
      }
      // A client of Connect has no words for an error: it resets the stream, behind what it sent.
      stream.write(rest ?? Buffer.alloc(0), () => stream.close(constants.NGHTTP2_CANCEL));
    },
    abort() {
      stream.destroy();
      session.destroy();
    },
    readEnd: endOf,
    endedSilently: () => new ViworksError('connection_lost', 'The stream ended without a word.'),
  };
  return createFramedConnection(stream, peer, ends);
}

interface EndOfStream {
  error?: { code?: string; message?: string };
  metadata?: Record<string, string[] | undefined>;
}

/** Reads the last frame of a Connect response. */
function endOf(payload: Uint8Array): ViworksError | undefined {
  let end: EndOfStream;
  try {
    end = JSON.parse(new TextDecoder().decode(payload));
  } catch (cause) {
    return new ViworksError('protocol_violation', 'The end of the stream is not JSON.', { cause });
  }
  if (end?.error === undefined) return undefined;
  return errorFromWire({
    connect: end.error.code,
    message: end.error.message ?? '',
    code: end.metadata?.[errorCodeHeader]?.[0],
    retryAfter: end.metadata?.[retryAfterHeader]?.[0],
  });
}
