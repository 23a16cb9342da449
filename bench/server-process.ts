import { writeFile } from 'node:fs/promises';
import inspector from 'node:inspector/promises';
import type { App } from '../src/app.ts';
import type { CommandService } from '../src/commands/service.ts';
import type { SubmitInput } from '../src/commands/types.ts';
import { built } from './support/built.ts';
import { answerCalls } from './support/child.ts';
import { clockMs } from './support/clock.ts';
import { createLoop, createPace, type Load, type Loop } from './support/load.ts';

/** The real control plane in a process of its own, with its embedded PostgreSQL, at a benchmark's command. */

export type ServerCalls = {
  /** @param tls the agents' listener has TLS, and agents may have certificates */
  start(input: { dataDir: string; tls?: boolean }): Promise<{
    apiUrl: string;
    agentUrl: string;
    apiToken: string;
    enrollmentToken: string;
    /** By which agents know the server over TLS. */
    pin: string | undefined;
    /** Whether the core can be called without the API. */
    core: boolean;
  }>;
  /** After a full garbage collection, in bytes. */
  memory(): Promise<{ resident: number; heap: number }>;
  /** Milliseconds from submit to the committed result, one command after the other, in this process. */
  coreLatency(input: { agentId: string; samples: number }): Promise<number[]>;
  startLoad(input: { agents: string[]; outstanding: number }): Promise<void>;
  stopLoad(): Promise<number>;
  /** The load of the benchmark of commands: a closed loop, or so many in a second. */
  startCommands(input: { agents: string[]; outstanding?: number; perSecond?: number }): Promise<void>;
  /** One command to all of these agents; answers when it is durable, with the milliseconds that took. */
  fanOut(input: { agents: string[] }): Promise<{ submitMs: number; executions: number }>;
  startProfile(): Promise<void>;
  stopProfile(input: { file: string }): Promise<void>;
};
export type ServerHears = { settled: number };

/** Carries the time of its submit, by which its agent tells how long it all took. */
const timed = (target: SubmitInput['target']): SubmitInput => ({
  verb: 'exec',
  args: { argv: ['bench', String(clockMs())] },
  target,
});

const hourMs = 3_600_000;
const actor = 'bench';

let app: App | undefined;
let core: CommandService | undefined;
let loop: Loop | undefined;
let load: Load | undefined;
let profiler: inspector.Session | undefined;

const calls: ServerCalls = {
  async start({ dataDir, tls = false }) {
    const [{ startApp }, { configSchema }] = await Promise.all([built.app(), built.config()]);
    const config = configSchema.parse({
      server: { port: 0, data_dir: dataDir },
      agent_management: { port: 0, ...(tls ? { built_in_tls: true } : {}) },
      logging: { level: 'error', format: 'text' },
    });
    app = await startApp(config, { drainWindowMs: 0 });
    core = coreOf(app);
    const enrollment = { site: 'bench', labels: {}, uses: 100_000, lifetimeMs: hourMs };
    return {
      apiUrl: app.apiUrl,
      agentUrl: app.agentUrl,
      apiToken: await app.issueToken({ subject: actor, role: 'operator', lifetimeMs: hourMs }),
      enrollmentToken: (await app.createEnrollmentToken(enrollment)).token,
      pin: await app.serverPin(),
      core: core !== undefined,
    };
  },

  async memory() {
    // What the first collection frees may hold on to more through finalizers.
    for (let round = 0; round < 3; round++) {
      globalThis.gc?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { rss, heapUsed, external } = process.memoryUsage();
    return { resident: rss, heap: heapUsed + external };
  },

  async coreLatency({ agentId, samples }) {
    const commands = theCore();
    const times: number[] = [];
    for (let sample = 0; sample < samples; sample++) {
      const stop = new AbortController();
      const begun = performance.now();
      const { commandId } = await commands.submit(actor, {
        verb: 'system.info',
        target: { agents: [agentId] },
      });
      for await (const { command } of commands.watch(commandId, undefined, stop.signal)) {
        if (!command.done) continue;
        times.push(performance.now() - begun);
        break;
      }
      stop.abort();
    }
    return times;
  },

  async startLoad({ agents, outstanding }) {
    const commands = theCore();
    const submit = (agentId: string) =>
      commands.submit(actor, { verb: 'system.info', target: { agents: [agentId] } });
    loop = createLoop({ agents, outstanding, submit });
    load = loop;
    await load.start();
  },
  async stopLoad() {
    const submitted = (await load?.stop()) ?? 0;
    loop = undefined;
    load = undefined;
    return submitted;
  },

  async startCommands({ agents, outstanding, perSecond = 0 }) {
    const commands = theCore();
    const submit = (agentId: string) => commands.submit(actor, timed({ agents: [agentId] }));
    if (outstanding !== undefined) {
      loop = createLoop({ agents, outstanding, submit });
      load = loop;
    } else {
      load = createPace(perSecond, (index) => submit(agents[index % agents.length] ?? ''));
    }
    await load.start();
  },

  async fanOut({ agents }) {
    const begun = performance.now();
    const { counts } = await theCore().submit(actor, timed({ agents }));
    const executions = Object.values(counts).reduce((sum, count) => sum + count, 0);
    return { submitMs: performance.now() - begun, executions };
  },

  async startProfile() {
    profiler = new inspector.Session();
    profiler.connect();
    await profiler.post('Profiler.enable');
    await profiler.post('Profiler.setSamplingInterval', { interval: 200 });
    await profiler.post('Profiler.start');
  },
  async stopProfile({ file }) {
    const result = await profiler?.post('Profiler.stop');
    profiler?.disconnect();
    await writeFile(file, JSON.stringify(result?.profile));
  },
};

/** The core is measured where the composition root hands it out. */
function coreOf(running: object): CommandService | undefined {
  const offered: { commands?: CommandService } = running;
  return offered.commands;
}

function theCore(): CommandService {
  if (core === undefined) throw new Error('the control plane does not hand out its core');
  return core;
}

answerCalls<Record<string, never>, ServerHears>(
  calls,
  { settled: (count) => loop?.settled(count) },
  async () => {
    await app?.stop();
    process.exit();
  },
);
