import http2, { type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2';
import net from 'node:net';

/** Clients by hand, for what no decent client does. */

export interface RawSession extends AsyncDisposable {
  session: ClientHttp2Session;
  /** A stream that stays open for writing. */
  open(headers?: http2.OutgoingHttpHeaders): http2.ClientHttp2Stream;
}

export function openHttp2(url: string, options: http2.SecureClientSessionOptions = {}): RawSession {
  const session = http2.connect(url, options);
  session.on('error', () => {});
  return {
    session,
    open(headers = {}) {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/viworks.agent.v1.AgentService/Open',
        'content-type': 'application/connect+proto',
        ...headers,
      });
      stream.on('error', () => {});
      return stream;
    },
    async [Symbol.asyncDispose]() {
      if (session.destroyed) return;
      const closed = new Promise((resolve) => session.once('close', resolve));
      session.destroy();
      await closed;
    },
  };
}

export interface RawAnswer {
  headers: IncomingHttpHeaders & { ':status'?: number | undefined };
  trailers: IncomingHttpHeaders;
  body: Buffer;
}

/** Everything that comes until the stream is over. */
export async function answerOf(stream: http2.ClientHttp2Stream): Promise<RawAnswer> {
  const answer: RawAnswer = { headers: {}, trailers: {}, body: Buffer.alloc(0) };
  const chunks: Buffer[] = [];
  stream.on('response', (headers) => {
    answer.headers = headers;
  });
  stream.on('trailers', (trailers) => {
    answer.trailers = trailers;
  });
  stream.on('data', (chunk) => chunks.push(chunk));
  stream.on('end', () => stream.end());
  await new Promise((resolve) => stream.once('close', resolve));
  return { ...answer, body: Buffer.concat(chunks) };
}

/** The JSON of a Connect end-of-stream frame, which must be all there is, or the last. */
export function endFrame(body: Buffer): { error?: { code: string; message: string }; metadata?: object } {
  let at = 0;
  while (at < body.length && body[at] === 0) at += 5 + body.readUInt32BE(at + 1);
  return JSON.parse(body.subarray(at + 5).toString());
}

/** Writes bytes on a bare socket and returns all that came back when it was closed. */
export async function exchange(port: number, ...writes: (string | Buffer)[]): Promise<string> {
  const socket = net.connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => {});
  for (const bytes of writes) socket.write(bytes);
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(chunks).toString('latin1');
}
