import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/**
 * The value that both ends of one TLS connection know and nobody else does (RFC 9266). Undefined without TLS.
 * @param socket the socket, or what node:http2 shows of it
 */
export function tlsExporterOf(socket: Socket | undefined): Uint8Array | undefined {
  const tls = socket as TLSSocket | undefined;
  if (tls?.encrypted !== true) return undefined;
  try {
    return new Uint8Array(tls.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)));
  } catch {
    // A connection that is over already has none.
    return undefined;
  }
}
