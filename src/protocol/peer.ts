import { createContextKey } from '@connectrpc/connect';

/** The address from which a call came, for whoever answers calls of connect-node. */
export const peerAddress = createContextKey<string | undefined>(undefined, {
  description: 'the address of the caller',
});
