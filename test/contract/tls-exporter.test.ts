import { expect, test } from 'vitest';
import { startCore } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { makeCertificate } from '../support/tls-certificate.ts';
import { startWatchedAgent, wires } from '../support/watched-agent.ts';

/** The TLS connection that the agent signs is the one that ends at the server. */

const refusals: string[] = [];

const certificate = await makeCertificate();
const { core } = await startFileCore({
  tls: certificate,
  authentication: {
    tlsExporter: 'require',
    onRefused: (reason, { agentId }) => refusals.push(`${agentId}: ${reason}`),
  },
});

test.each(wires)('over %s both ends of one TLS connection know the same value', async (wire) => {
  const agent = await startWatchedAgent(core, `same-${wire}`, { wire, ca: certificate.cert });
  await agent.state('open');
});

test.each(wires)('over %s somebody between two TLS connections is found out', async (wire) => {
  const name = `between-${wire}`;
  const agent = await startWatchedAgent(core, name, {
    wire,
    ca: certificate.cert,
    // What the agent sees of a TLS connection that ends elsewhere.
    peer: { tlsExporter: new Uint8Array(32).fill(7) },
  });
  expect((await agent.state('waiting')).error).toMatchObject({ code: 'authentication_failed' });
  expect(refusals).toContain(`${name}: tls_exporter_differs`);
});

test('an agent that says nothing of its TLS is refused where it must', async () => {
  const agent = await startWatchedAgent(core, 'silent', {
    ca: certificate.cert,
    peer: { tlsExporter: undefined },
  });
  expect((await agent.state('waiting')).error).toMatchObject({ code: 'authentication_failed' });
  expect(refusals).toContain('silent: tls_exporter_absent');
});

test.each(['record', 'off'] as const)('with %s nothing is refused for it', async (tlsExporter) => {
  const own = await createTestDatabase();
  const lax = await startCore(own.url, { tls: certificate, authentication: { tlsExporter } });
  try {
    const agent = await startWatchedAgent(lax, 'proxied', {
      ca: certificate.cert,
      peer: { tlsExporter: new Uint8Array(32).fill(7) },
    });
    await agent.state('open');
    await agent.agent.stop(0);
  } finally {
    await lax.stop();
    await own.drop();
  }
});
