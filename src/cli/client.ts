import { createTRPCClient, httpLink, httpSubscriptionLink, splitLink, type TRPCClient } from '@trpc/client';
import { type AppRouter, HeaderEventSource } from '../api/client.ts';
import { patienceLink, slowLink } from './patience.ts';

/** About a minute in all, which is longer than a restart of the server takes. */
const reconnectAttempts = 12;

export type Client = TRPCClient<AppRouter>;

/**
 * The client that any backend application would make, with the token as a header on every request.
 * @param onWait with it, calls over the limit are repeated after the wait that it is told
 * @param onSlow is told of calls that are not answered for some seconds
 */
export function createClient(
  { url, token }: { url: string; token: string },
  onWait?: (ms: number) => void,
  onSlow?: (ms: number) => void,
): Client {
  const endpoint = `${url.replace(/\/+$/, '')}/trpc`;
  const headers = { authorization: `Bearer ${token}` };
  return createTRPCClient<AppRouter>({
    links: [
      splitLink({
        condition: (operation) => operation.type === 'subscription',
        true: httpSubscriptionLink({
          url: endpoint,
          EventSource: HeaderEventSource,
          eventSourceOptions: { headers, attempts: reconnectAttempts },
        }),
        false: [
          ...(onWait === undefined ? [] : [patienceLink(onWait)]),
          ...(onSlow === undefined ? [] : [slowLink(onSlow)]),
          httpLink({ url: endpoint, headers }),
        ],
      }),
    ],
  });
}
