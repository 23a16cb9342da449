import { createTRPCClient, httpLink, httpSubscriptionLink, splitLink, type TRPCClient } from '@trpc/client';
import { type AppRouter, HeaderEventSource } from '../api/client.ts';

/** About a minute in all, which is longer than a restart of the server takes. */
const reconnectAttempts = 12;

export type Client = TRPCClient<AppRouter>;

/** The client that any backend application would make, with the token as a header on every request. */
export function createClient({ url, token }: { url: string; token: string }): Client {
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
        false: httpLink({ url: endpoint, headers }),
      }),
    ],
  });
}
