import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import type { CertificateStatusView } from '../api/schemas/certs.ts';
import { noticesOf } from '../config/notices.ts';
import type { Config } from '../config/schema.ts';
import { statement } from '../storage/database.ts';
import { findBinaries } from '../storage/embedded/binaries.ts';
import { createClient } from './client.ts';
import { accessOf, type CliContext, type ClientOptions, configOf, type ServerOptions } from './context.ts';
import { prepareDataDir } from './data-dir.ts';
import { failureOf } from './failure.ts';
import { listenerPorts, portProblem, useDatabase } from './preflight.ts';

/** What `viworks doctor` looks at. It changes nothing. */

export interface Finding {
  check: string;
  status: 'ok' | 'warn' | 'fail';
  detail: string;
}

export type DoctorOptions = ServerOptions & ClientOptions;

/** Milliseconds that the clocks of server and client may differ. */
const clockToleranceMs = 5000;

export async function examine(context: CliContext, options: DoctorOptions): Promise<Finding[]> {
  const findings: Finding[] = [ok('node', process.version)];
  let config: Config;
  try {
    config = configOf(context, options);
    const source = options.config ?? context.settings.configFile ?? 'defaults and environment';
    findings.push(ok('settings', `${source}, ${config.server.mode} mode`));
    for (const { setting, text } of noticesOf(config, Date.now())) findings.push(warn(setting, text));
  } catch (error) {
    findings.push(fail('settings', error));
    return findings;
  }
  findings.push(
    await attempt('data folder', async () => {
      const { data_dir: dataDir } = config.server;
      if (!existsSync(dataDir))
        return warn('data folder', `${dataDir} is not there yet; the first start makes it`);
      prepareDataDir(dataDir);
      return ok('data folder', dataDir);
    }),
  );
  const server = await examineServer(context, options);
  const running = server.some(({ check, status }) => check === 'server' && status === 'ok');
  for (const listener of listenerPorts(config)) {
    const problem = await portProblem(listener);
    const taken = running && (await answers(listener.host, listener.port));
    if (problem === undefined) findings.push(ok(listener.name, `port ${listener.port} is free`));
    else if (taken) findings.push(ok(listener.name, `port ${listener.port} is in use by the running server`));
    else findings.push({ check: listener.name, status: 'fail', detail: problem });
  }
  findings.push(await attempt('database', () => examineDatabase(config, running)));
  return [...findings, ...server];
}

async function examineDatabase(config: Config, running: boolean): Promise<Finding> {
  const { url } = config.database;
  if (url === undefined) {
    const binaries = await findBinaries();
    const { stdout } = await promisify(execFile)(binaries.postgres, ['--version']);
    return ok('database', `embedded, ${stdout.trim()}${running ? ', in use by the running server' : ''}`);
  }
  return useDatabase(config, url, async (database) => {
    const ms = await database.ping();
    const version = statement(
      'doctor-version',
      "select current_setting('server_version_num')::int / 10000 as major",
    );
    const [found] = await database.query<{ major: number }>(version, []);
    if ((found?.major ?? 0) < 14) {
      return {
        check: 'database',
        status: 'fail',
        detail: `DATABASE_URL: PostgreSQL ${found?.major} is too old; 14 or later is needed`,
      };
    }
    const tables = statement('doctor-tables', "select to_regclass('public.executions') is not null as there");
    const [schema] = await database.query<{ there: boolean }>(tables, []);
    if (schema?.there !== true)
      return warn('database', 'has no schema yet; `viworks migrate` or the first start makes it');
    return ok('database', `PostgreSQL ${found?.major}, answers in ${ms.toFixed(1)} ms`);
  });
}

async function examineServer(context: CliContext, options: DoctorOptions): Promise<Finding[]> {
  let access: ReturnType<typeof accessOf>;
  try {
    access = accessOf(context, options);
  } catch (error) {
    return [warn('server', failureOf(error).message)];
  }
  let response: Response;
  try {
    response = await fetch(new URL('/readyz', access.url), { signal: AbortSignal.timeout(5000) });
  } catch {
    return [
      warn('server', `nothing answers at ${access.url}; \`npm start\` or \`viworks serve\` starts one`),
    ];
  }
  const findings: Finding[] = [
    response.ok
      ? ok('server', `${access.url} is ready`)
      : {
          check: 'server',
          status: 'fail',
          detail: `${access.url} is not ready (${response.status}); see \`viworks health\``,
        },
  ];
  const date = response.headers.get('date');
  if (date !== null) {
    const off = Math.abs(Date.now() - Date.parse(date));
    findings.push(
      off <= clockToleranceMs
        ? ok('clock', 'agrees with the server')
        : warn(
            'clock',
            `differs from the server's by ${Math.round(off / 1000)} s; set up time synchronisation`,
          ),
    );
  }
  findings.push(
    await attempt('token', async () => {
      const { agents } = await createClient(access).system.health.query();
      const total = Object.values(agents).reduce((sum, count) => sum + (count ?? 0), 0);
      return ok('token', `is valid; ${total === 1 ? '1 agent is' : `${total} agents are`} enrolled`);
    }),
  );
  findings.push(await attempt('certificates', () => examineCertificates(access)));
  return findings;
}

const dayMs = 86_400_000;
/** How long before its end an authority is to be replaced, and the certificate of the agents' port renewed. */
const soonMs = { authority: 60 * dayMs, server: dayMs };

/** A token that may not see them is no fault of the set-up. */
const beyondToken: ReadonlySet<string> = new Set(['scope_exceeded', 'permission_denied']);

async function examineCertificates(access: ReturnType<typeof accessOf>): Promise<Finding> {
  let status: CertificateStatusView;
  try {
    status = await createClient(access).certs.status.query();
  } catch (error) {
    if (!beyondToken.has(failureOf(error).code)) throw error;
    return ok('certificates', 'not looked at; a token without limits may');
  }
  const { authorities, serverCertificate, clientCertificates } = status;
  const ending = authorities.find(
    ({ state, notAfter }) => state === 'active' && Date.parse(notAfter) - Date.now() < soonMs.authority,
  );
  if (ending !== undefined)
    return warn('certificates', `the authority ends at ${ending.notAfter}; \`viworks certs ca prepare\``);
  if (serverCertificate === undefined)
    return ok('certificates', 'none; agents connect without TLS of their own');
  const { source, notAfter } = serverCertificate;
  if (source === 'built-in' && Date.parse(notAfter) - Date.now() < soonMs.server)
    return warn(
      'certificates',
      `that of the agents' port ends at ${notAfter} and is not renewed; see the log`,
    );
  return ok('certificates', `of agents: ${clientCertificates}; that of their port ends at ${notAfter}`);
}

async function attempt(check: string, examination: () => Promise<Finding>): Promise<Finding> {
  try {
    return await examination();
  } catch (error) {
    return fail(check, error);
  }
}

const ok = (check: string, detail: string): Finding => ({ check, status: 'ok', detail });
const warn = (check: string, detail: string): Finding => ({ check, status: 'warn', detail });

function fail(check: string, error: unknown): Finding {
  const { message, hint } = failureOf(error);
  return { check, status: 'fail', detail: hint === undefined ? message : `${message} (${hint})` };
}

function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1000 });
    const done = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
    socket.once('timeout', () => done(false));
  });
}
