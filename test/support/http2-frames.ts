import { once } from 'node:events';
import net from 'node:net';

/** Frames of HTTP/2 (RFC 9113) by hand, for what no client does. */

export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const flags = { endStream: 1, acknowledged: 1, endHeaders: 4 } as const;

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export function frame(
  type: keyof typeof frameTypes | number,
  frameFlags = 0,
  stream = 0,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = typeof type === 'number' ? type : frameTypes[type];
  head[4] = frameFlags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Fields as literals without indexing (RFC 7541, 6.2.2), each shorter than 127 bytes. */
export function fieldBlock(fields: Record<string, string>): Buffer {
  return Buffer.concat(
    Object.entries(fields).flatMap(([name, value]) => [
      Buffer.from([0, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ]),
  );
}

export const getRequest = (path: string): Buffer =>
  fieldBlock({ ':method': 'GET', ':scheme': 'http', ':authority': 'a', ':path': path });
export const postRequest = (path: string): Buffer =>
  fieldBlock({ ':method': 'POST', ':scheme': 'http', ':authority': 'a', ':path': path });

export const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** One entry of SETTINGS. */
export const settingOf = (id: number, value: number): Buffer =>
  Buffer.concat([Buffer.from([id >> 8, id & 0xff]), uint32(value)]);

export interface RawPeer {
  socket: net.Socket;
  /** Writes as fast as it is taken, until the server closes or takes no more, or `most` bytes are written. */
  pour(chunk: (n: number) => Buffer, most?: number): Promise<void>;
  closed: Promise<unknown>;
  /** Bytes that came, as far as they were read. */
  readonly received: number;
}

/** A socket of which nothing is read until `reads`. */
export async function rawPeer(port: number, { reads = true } = {}): Promise<RawPeer> {
  const socket = net.connect(port, '127.0.0.1');
  let received = 0;
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  if (reads) {
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
  } else {
    socket.pause();
  }
  await once(socket, 'connect');
  return {
    socket,
    closed,
    get received() {
      return received;
    },
    async pour(chunk, most = 512 * 1024 * 1024) {
      let written = 0;
      for (let n = 0; written < most && !socket.destroyed && socket.writable; n++) {
        const bytes = chunk(n);
        written += bytes.length;
        if (!socket.write(bytes)) {
          if (!(await drained(socket))) return;
        } else if (n % 16 === 0) await new Promise(setImmediate);
      }
    },
  };
}

/** False where the socket closed, or nothing was taken for a while. */
function drained(socket: net.Socket): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), 1_000);
  const [onDrain, onClose] = [() => resolve(true), () => resolve(false)];
  socket.once('drain', onDrain).once('close', onClose);
  return promise.finally(() => {
    clearTimeout(timer);
    socket.off('drain', onDrain).off('close', onClose);
  });
}
