import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/**
 * The certificate that the peer showed, in DER. It holds the private key, since TLS is past its handshake; whether the
 * certificate is worth anything is not looked at. Undefined where there is none.
 * @param socket the socket, or what node:http2 shows of it
 */
export function certificateOf(socket: Socket | undefined): Uint8Array | undefined {
  const tls = socket as TLSSocket | undefined;
  if (tls?.encrypted !== true) return undefined;
  const raw = tls.getPeerX509Certificate()?.raw;
  return raw && new Uint8Array(raw);
}
