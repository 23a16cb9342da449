import { createContextKey } from '@connectrpc/connect';

/** Where the caller of a route is, without the port; empty where it is not known. */
export const remoteAddress = createContextKey('', { description: 'address of the caller' });
