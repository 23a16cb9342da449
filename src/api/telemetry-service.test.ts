import { expect, test } from 'vitest';
import { agentNamed, memoryAgents } from '../../test/support/api-ports.ts';
import { storedSample } from '../../test/support/api-telemetry.ts';
import { createMemoryLatest } from '../telemetry/latest.ts';
import { createTelemetryService } from './telemetry-service.ts';

test('large samples make pages of the newest shorter, and no agent is left out', async () => {
  const names = Array.from({ length: 10 }, (_, n) => `agent-${n}`);
  const latest = createMemoryLatest();
  // Every other one has a sample, and one is larger than a page.
  const samples = names.flatMap((agentId, n) =>
    n % 2 === 1 ? [] : { ...storedSample, agentId, sample: new Uint8Array(n === 4 ? 5e6 : 1.5e6) },
  );
  await latest.put(samples);
  const history = {} as Parameters<typeof createTelemetryService>[0]['telemetry']['history'];
  const agents = memoryAgents(names.map((name) => agentNamed(name)));
  const service = createTelemetryService({ agents, telemetry: { latest, history } });
  const pages: string[][] = [];
  for (let token: string | undefined, first = true; first || token !== undefined; first = false) {
    const page = await service.latest({ filter: {} }, { size: 8, token });
    pages.push(page.items.map(({ agent, sample }) => agent.agentId + (sample ? '+' : '')));
    token = page.nextToken;
  }
  expect(pages).toEqual([
    ['agent-0+', 'agent-1', 'agent-2+', 'agent-3'],
    ['agent-4+'],
    ['agent-5', 'agent-6+', 'agent-7', 'agent-8+', 'agent-9'],
  ]);
});
