import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startApp } from '../../src/app.ts';
import { configSchema } from '../../src/config/schema.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { runCli } from '../support/process.ts';
import { findPython, type Python, runPython, startPythonAgent } from '../support/python-agent.ts';

const found = findPython();
if (found === undefined) {
  // biome-ignore lint/suspicious/noConsole: a test that did not run must not look like one that passed
  console.warn(
    '*** The Python agent was NOT tested. *** It needs python3 with grpcio, protobuf and cryptography, and grpcio-tools ' +
      'or protoc with grpc_python_plugin (Debian: python3-grpcio python3-cryptography protobuf-compiler ' +
      'libprotobuf-dev protobuf-compiler-grpc).',
  );
} else {
  pythonTests(found);
}

function pythonTests(python: Python): void {
  let folder = '';
  let stubs = '';
  let database: TestDatabase;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'viworks-python-'));
    stubs = join(folder, 'stubs');
    python.compile(stubs);
    database = await createTestDatabase();
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
    await database.drop();
  });

  test('the vectors hold for an implementation of its own', () => {
    const files = ['handshake.json', 'frames.json'].map((name) =>
      fileURLToPath(new URL(`../vectors/${name}`, import.meta.url)),
    );
    expect(runPython(python, stubs, ['verify_vectors.py', ...files])).toMatch(/^\d+ checks passed/);
  });

  test('the command vectors hold for it too', () => {
    const vectors = fileURLToPath(new URL('../vectors/commands.json', import.meta.url));
    expect(runPython(python, stubs, ['verify_commands.py', vectors])).toMatch(/^\d+ checks passed/);
  });

  const start = (agentPort: number) =>
    startApp(
      configSchema.parse({
        server: { port: 0, data_dir: join(folder, 'data') },
        database: { url: database.url },
        security: { sealed_envelopes: 'required' },
        agent_management: { port: agentPort, reconnect_backoff_ms: 20, reconnect_backoff_max_ms: 100 },
        logging: { level: 'silent' },
      }),
      { log: silentLogger, drainWindowMs: 50 },
    );

  const runOnIt = async (app: Awaited<ReturnType<typeof start>>) => {
    const token = await app.issueToken({ subject: 'test', role: 'operator', lifetimeMs: 60_000 });
    const env = { VIWORKS_URL: app.apiUrl, VIWORKS_TOKEN: token };
    return runCli(['run', 'system.info', '--agent', 'py-1', '--json'], { env });
  };

  test('enrols, runs a command, comes back to a new server, and runs nothing twice', async () => {
    let app = await start(0);
    const port = Number(new URL(app.agentUrl).port);
    try {
      const spec = { site: 's1', labels: {}, uses: 1, lifetimeMs: 60_000 };
      const { token } = await app.createEnrollmentToken(spec);
      const state = join(folder, 'state');
      const agent = startPythonAgent(python, stubs, [
        ...['--server', `127.0.0.1:${port}`, '--dir', state, '--id', 'py-1', '--token', token],
      ]);
      await agent.line(/online epoch=1 .*sealed=True/);
      expect((await stat(join(state, 'agent.key'))).mode & 0o777).toBe(0o600);
      const ran = await runOnIt(app);
      expect(ran).toMatchObject({ code: 0, stdout: expect.stringContaining('viworks-python-example') });
      await agent.line(/runs system\.info/);

      // A server that does not know of the RESULT offers the order again; the agent answers from its ledger.
      await app.stop();
      await agent.line(/offline: drain/);
      await query(database.url, "update executions set state = 'queued', deadline_at = expires_at");
      app = await start(port);
      await agent.line(/online epoch=2 /);
      await agent.line(/answers from the ledger/);
      expect(await runOnIt(app)).toMatchObject({ code: 0 });

      // RESULTs without an acknowledgement are in the account of HELLO, and follow it.
      await app.stop();
      await agent.line(/offline: drain/);
      await query(database.url, "update executions set state = 'running', deadline_at = expires_at");
      forgetAcknowledgements(join(state, 'ledger.db'));
      app = await start(port);
      await agent.line(/online epoch=3 /);
      expect(await runOnIt(app)).toMatchObject({ code: 0 });
      await agent.line(/runs system\.info/);

      expect(agent.lines.filter((line) => line.includes('runs system.info'))).toHaveLength(3);
      expect(await statesOf(database.url)).toEqual(['succeeded', 'succeeded', 'succeeded']);
      expect(await agent.stop()).toBe(0);
    } finally {
      await app.stop();
    }
  }, 60_000);

  test('it comes in over TLS with a certificate that an operator made for it', async () => {
    const own = await createTestDatabase();
    const app = await startApp(
      configSchema.parse({
        server: { port: 0, data_dir: join(folder, 'data-tls') },
        database: { url: own.url },
        agent_management: { port: 0, built_in_tls: true, client_certificates: 'required' },
      }),
      { log: silentLogger, drainWindowMs: 0 },
    );
    try {
      const { token } = await app.createEnrollmentToken({
        site: 's1',
        labels: {},
        uses: 1,
        lifetimeMs: 60_000,
      });
      const bearer = await app.issueToken({ subject: 'ada', role: 'admin', lifetimeMs: 60_000 });
      const access = ['--url', app.apiUrl, '--token', bearer];
      const ca = join(folder, 'ca.pem');
      writeFileSync(ca, (await runCli(['certs', 'ca', 'show', ...access])).stdout);
      const server = `localhost:${new URL(app.agentUrl).port}`;
      const args = ['--server', server, '--ca', ca, '--dir', join(folder, 'state-tls'), '--id', 'py-tls'];
      const without = startPythonAgent(python, stubs, [...args, '--token', token]);
      await without.line(/offline: authentication_failed/);
      await without.stop();
      const certificate = join(folder, 'py.pem');
      const issued = await runCli(['certs', 'issue', '--agent', 'py-tls', '--out', certificate, ...access]);
      expect(issued).toMatchObject({ code: 0 });
      expect((await stat(certificate)).mode & 0o777).toBe(0o600);
      const agent = startPythonAgent(python, stubs, [...args, '--certificate', certificate]);
      await agent.line(/online epoch=1 .*sealed=True/);
    } finally {
      await app.stop();
      await own.drop();
    }
  }, 60_000);
}

function forgetAcknowledgements(file: string): void {
  const ledger = new DatabaseSync(file);
  ledger.exec('update executions set settled = 0');
  ledger.close();
}

async function statesOf(url: string): Promise<string[]> {
  const { rows } = await query(url, 'select state from executions order by execution_id');
  return rows.map((row) => row.state);
}

async function query(url: string, text: string): Promise<pg.QueryResult<{ state: string }>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await client.query(text);
  } finally {
    await client.end();
  }
}

test('the agent stays small enough to be read in one go', () => {
  const text = readFileSync(new URL('../../examples/agents/python/agent.py', import.meta.url), 'utf8');
  expect(text.split('\n').filter((line) => /^\s*[^#\s]/.test(line)).length).toBeLessThan(200);
});
