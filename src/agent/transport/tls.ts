import { isIP } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import { ViworksError } from '../../errors.ts';
import { judgeServer, pinOf, pinText } from '../../protocol/certificates/pins.ts';

/** The agent's end of TLS: whom it believes, and what it shows of itself. */
export interface TlsTerms {
  /** PEM of the authorities to believe in place of the system's own. */
  ca?: string | undefined;
  /** PEM of authorities to believe beside them. */
  authorities?: readonly string[] | undefined;
  /** Where there are any, the server's own key is one of these. */
  pins?: readonly Uint8Array[] | undefined;
  /** The pins are out of date, see `judgeServer`. */
  pinsExpired?: boolean | undefined;
  /** PEM of what the agent shows. */
  certificate?: { cert: string; key: string } | undefined;
}

/** What is asked at each dial may change between two. */
export type TlsSource = TlsTerms | (() => TlsTerms) | undefined;

/**
 * Connects, and resolves when it is known that the server is the one it should be: nothing is said to another.
 * @throws server_untrusted, unavailable
 */
export function connectTls(
  url: URL,
  source: TlsSource,
  protocol: 'h2' | 'http/1.1',
  signal: AbortSignal,
): Promise<TLSSocket> {
  const terms = (typeof source === 'function' ? source() : source) ?? {};
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const socket = tls.connect({
    host,
    port: Number(url.port || 443),
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ALPNProtocols: [protocol],
    // Decided below, before anything is sent.
    rejectUnauthorized: false,
    ...terms.certificate,
    ...authoritiesOf(terms),
  });
  const fail = (reason: string, cause?: unknown): void => {
    socket.destroy();
    reject(new ViworksError('unavailable', `No TLS with ${url.host}: ${reason}.`, { cause }));
  };
  const onAbort = (): void => fail('the time is over or the caller went away', signal.reason);
  // It stays: a socket that breaks later belongs to somebody else, who hears of it too.
  socket.on('error', (error: NodeJS.ErrnoException) =>
    fail(
      error.code === 'ERR_SSL_WRONG_VERSION_NUMBER' ? 'what answers there speaks none' : error.message,
      error,
    ),
  );
  socket.once('close', () => fail('the peer closed it'));
  socket.once('secureConnect', () => {
    const problem = problemOf(socket, terms);
    if (problem === undefined) return resolve(socket);
    socket.destroy();
    reject(new ViworksError('server_untrusted', `The server at ${url.host} is not believed: ${problem}.`));
  });
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  return promise.finally(() => signal.removeEventListener('abort', onAbort));
}

/** Where the pins decide, no authority is asked. */
function authoritiesOf({ ca, authorities = [], pins = [], pinsExpired }: TlsTerms): { ca?: string[] } {
  if (pins.length > 0 && pinsExpired !== true) return {};
  if (ca !== undefined) return { ca: [ca, ...authorities] };
  return authorities.length === 0 ? {} : { ca: [...tls.getCACertificates('default'), ...authorities] };
}

function problemOf(socket: TLSSocket, { pins = [], pinsExpired = false }: TlsTerms): string | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return 'it shows no certificate';
  const pin = pinOf(certificate);
  switch (judgeServer({ pin, pins, expired: pinsExpired, vouchedFor: socket.authorized })) {
    case 'trusted':
      return undefined;
    case 'wrong_pin':
      return `its key is ${pinText(pin)}, which is none of those that this agent was told`;
    case 'untrusted':
      return `its certificate does not hold (${socket.authorizationError})`;
  }
}
