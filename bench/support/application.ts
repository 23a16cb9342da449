import { createTRPCClient, httpBatchLink, httpSubscriptionLink, splitLink } from '@trpc/client';
import type { AppRouter } from '../../src/api/client.ts';
import { built } from './built.ts';

/** A backend application as the examples show it: tRPC over HTTP, and a subscription for each command it watches. */
export interface Application {
  /** Resolves with the id of the command when it is durable. */
  submit(agentId: string): Promise<string>;
  /** Resolves when the watcher has seen the end of the command. */
  watch(commandId: string): Promise<void>;
}

/** Calls that the server takes in one request. */
const callsInRequest = 32;

export async function createApplication(apiUrl: string, token: string): Promise<Application> {
  const { HeaderEventSource } = await built.client();
  const url = `${apiUrl}/trpc`;
  const headers = { authorization: `Bearer ${token}` };
  const client = createTRPCClient<AppRouter>({
    links: [
      splitLink({
        condition: (operation) => operation.type === 'subscription',
        true: httpSubscriptionLink({ url, EventSource: HeaderEventSource, eventSourceOptions: { headers } }),
        false: httpBatchLink({ url, headers, maxItems: callsInRequest }),
      }),
    ],
  });
  return {
    async submit(agentId) {
      const { command } = await client.commands.submit.mutate({
        verb: 'system.info',
        target: { agents: [agentId] },
      });
      return command.commandId;
    },
    watch: (commandId) =>
      new Promise((resolve, reject) => {
        const subscription = client.commands.watch.subscribe(
          { commandId },
          {
            onData({ data }) {
              if (!data.command.done) return;
              resolve();
              subscription.unsubscribe();
            },
            onError: reject,
          },
        );
      }),
  };
}
