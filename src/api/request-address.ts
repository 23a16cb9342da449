import type { FastifyRequest } from 'fastify';
import { type AddressList, clientAddress } from '../lib/addresses.ts';

/** The address of whoever sent a request of plain HTTP or tRPC, behind the proxies that are believed. */
export const requestAddress = (
  { socket, headers }: Pick<FastifyRequest, 'socket' | 'headers'>,
  proxies: AddressList,
): string => clientAddress(socket.remoteAddress ?? '', headers['x-forwarded-for'], proxies);
