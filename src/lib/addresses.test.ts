import { expect, test } from 'vitest';
import {
  clientAddress,
  clientNetwork,
  createAddressList,
  isAddressOrRange,
  isLoopback,
} from './addresses.ts';

test.for(['10.0.0.1', '10.0.0.0/8', '::1', 'fd00::/8', '0.0.0.0/0'])(
  '%s is an address or a range',
  (text) => {
    expect(isAddressOrRange(text)).toBe(true);
  },
);

test.for(['', 'proxy', '10.0.0', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', '::/129', '10.0.0.1/-1'])(
  '%s is none',
  (text) => {
    expect(isAddressOrRange(text)).toBe(false);
  },
);

test('a list knows its addresses and ranges, also as IPv6 writes those of IPv4', () => {
  const list = createAddressList(['192.0.2.7', '10.0.0.0/8', 'fd00::/8']);
  for (const address of ['192.0.2.7', '10.255.0.1', '::ffff:10.0.0.1', 'fd12::1'])
    expect(list.has(address)).toBe(true);
  for (const address of ['192.0.2.8', '11.0.0.1', 'fe80::1', 'nobody', ''])
    expect(list.has(address)).toBe(false);
});

test('loopback is loopback in every spelling', () => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost', '::ffff:127.0.0.1', '[::1]'])
    expect(isLoopback(host)).toBe(true);
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'example.org', '[::]', '[::1'])
    expect(isLoopback(host)).toBe(false);
});

const proxies = createAddressList(['10.0.0.0/8']);

test.for<[why: string, peer: string, forwarded: string | undefined, client: string]>([
  ['no header', '10.0.0.1', undefined, '10.0.0.1'],
  ['a header from a stranger means nothing', '198.51.100.1', '203.0.113.9', '198.51.100.1'],
  ['a proxy tells its client', '10.0.0.1', '203.0.113.9', '203.0.113.9'],
  ['what the client itself wrote is not believed', '10.0.0.1', '192.0.2.1, 203.0.113.9', '203.0.113.9'],
  ['a chain of proxies', '10.0.0.1', '203.0.113.9, 10.0.0.2', '203.0.113.9'],
  ['only proxies', '10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
  ['rubbish ends the chain', '10.0.0.1', '203.0.113.9, unknown', '10.0.0.1'],
])('%s', ([, peer, forwarded, client]) => {
  expect(clientAddress(peer, forwarded, proxies)).toBe(client);
});

test('without proxies that are believed, the header means nothing', () => {
  expect(clientAddress('127.0.0.1', '203.0.113.9', createAddressList([]))).toBe('127.0.0.1');
});

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['2001:DB8:0:0:ffff:1:2:3', '2001:db8:0:0::/64'],
  ['2001:db8:1:2:3::', '2001:db8:1:2::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['', ''],
])('of %j one client has %j', (address, network) => {
  expect(clientNetwork(address)).toBe(network);
});
