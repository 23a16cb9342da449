/**
 * A backend application that asks every agent how its machine is.
 *
 *   VIWORKS_URL=http://127.0.0.1:8080 VIWORKS_TOKEN=… node examples/backend-app.ts
 */
import { createTRPCClient, httpBatchLink, httpSubscriptionLink, splitLink } from '@trpc/client';
// Outside of this repository: from 'viworks/client'.
import { type AppOutputs, type AppRouter, HeaderEventSource } from '../src/api/client.ts';

const url = `${process.env.VIWORKS_URL ?? 'http://127.0.0.1:8080'}/trpc`;
const headers = { authorization: `Bearer ${process.env.VIWORKS_TOKEN ?? ''}` };

const viworks = createTRPCClient<AppRouter>({
  links: [
    splitLink({
      condition: (operation) => operation.type === 'subscription',
      // An EventSource as browsers have it sends no headers, and tRPC's connectionParams would put the token
      // into the address, where proxies log it. This one sends the token as all other calls do.
      true: httpSubscriptionLink({ url, EventSource: HeaderEventSource, eventSourceOptions: { headers } }),
      false: httpBatchLink({ url, headers }),
    }),
  ],
});

type Execution = AppOutputs['commands']['get']['executions'][number];

function print({ agentId, state, result }: Execution): void {
  const { kernel = '', cpuCores = '' } = result?.output ?? {};
  console.log(agentId, state, result === undefined ? '' : `${kernel}, ${cpuCores} cores`);
}

const { command } = await viworks.commands.submit.mutate({
  verb: 'system.info',
  target: { all: true },
  timeoutMs: 10_000,
});
console.log(`command ${command.commandId}`);

// After a break the subscription goes on behind the last event by itself.
await new Promise<void>((resolve, reject) => {
  viworks.commands.watch.subscribe(
    { commandId: command.commandId },
    {
      onData: ({ data }) => data.executions.forEach(print),
      onComplete: resolve,
      onError: reject,
    },
  );
});
