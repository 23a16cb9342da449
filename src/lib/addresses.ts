import { BlockList, isIP } from 'node:net';

/** Addresses of the network, and who a peer is behind the proxies that are believed. */

export interface AddressList {
  readonly empty: boolean;
  has(address: string): boolean;
}

/** An address, or a range such as `10.0.0.0/8` or `fd00::/8`. */
export function isAddressOrRange(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

/** @param entries each as isAddressOrRange wants it */
export function createAddressList(entries: readonly string[]): AddressList {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return {
    empty: entries.length === 0,
    has(text) {
      const address = plainAddress(text);
      const family = isIP(address);
      return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4');
    },
  };
}

/** A listener on IPv6 shows an address of IPv4 as `::ffff:192.0.2.1`. */
export const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '');

/** @param host a name or an address; one of IPv6 also in the brackets that it has in a URL */
export function isLoopback(host: string): boolean {
  const address = plainAddress(host.replace(/^\[(.*)\]$/, '$1'));
  if (isIP(address) === 4) return address.startsWith('127.');
  return address === 'localhost' || address === '::1';
}

/** What one client is taken to have: an address of IPv4, or the 64 bits of IPv6 that a network is given. */
export function clientNetwork(text: string): string {
  const address = plainAddress(text).replace(/%.*$/, '');
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = address.toLowerCase().split('::');
  const groups = head.split(':').filter(Boolean);
  const rest = tail?.split(':').filter(Boolean) ?? [];
  const zeros = new Array<string>(Math.max(8 - groups.length - rest.length, 0)).fill('0');
  const all = tail === undefined ? groups : [...groups, ...zeros, ...rest];
  const network = all.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, ''));
  return `${network.join(':')}::/64`;
}

/**
 * The address a request came from. X-Forwarded-For counts only as far as proxies that are believed wrote it: it is
 * read from its end, and the first address that is no such proxy's is the client's.
 */
export function clientAddress(
  peer: string,
  forwardedFor: string | readonly string[] | undefined,
  proxies: AddressList,
): string {
  let client = plainAddress(peer);
  if (forwardedFor === undefined || proxies.empty) return client;
  const hops = (typeof forwardedFor === 'string' ? forwardedFor : forwardedFor.join(','))
    .split(',')
    .reverse();
  for (const hop of hops) {
    const address = plainAddress(hop.trim());
    if (!proxies.has(client) || isIP(address) === 0) break;
    client = address;
  }
  return client;
}
