import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { startFileCore } from '../../test/support/app-core-file.ts';
import { enrolled } from '../../test/support/fake-agent.ts';
import { readIfThere, replace, syncFolder, writeBeside } from '../agent/files.ts';
import { type Generation, openGeneration } from '../agent/generation.ts';
import { newId } from '../lib/ids.ts';
import { silentLogger } from '../lib/logger.ts';
import { createMetrics } from '../lib/metrics.ts';
import { confirmGeneration } from '../storage/agent-standing.ts';
import { openSessions, type SessionOpening } from '../storage/sessions.ts';
import { createStanding, type Standing } from './standing.ts';

/** Agents that break at any point against the real tables: what holds them, and what does not. */

let standing: Standing;

const { core } = await startFileCore();

beforeAll(async () => {
  const deps = { ...core, audit: core.audit.trail, log: silentLogger, metrics: createMetrics() };
  standing = createStanding({ ...deps, hold: core.engine.setHeld });
});

const opening = (agentId: string, generation: number): SessionOpening => ({
  sessionId: newId(),
  agentId,
  incarnation: 1,
  startedAt: new Date(core.clock.now()),
  transport: 'connect',
  remoteAddress: '127.0.0.1',
  tls: false,
  capabilities: [],
  software: '',
  hostname: '',
  os: '',
  kernel: '',
  architecture: '',
  containerEngine: '',
  generation,
  keysSince: new Date(0),
});

/** The server's part of a session's beginning: its epoch, or undefined where the agent is refused. */
async function connect(agentId: string, generation: bigint): Promise<bigint | undefined> {
  const [opened] = await openSessions(core.database.query, [opening(agentId, Number(generation))]);
  if (opened !== undefined) return BigInt(opened.epoch);
  const error = await standing.refusal({ agentId, incarnation: 1, generation: Number(generation) });
  expect(error.code).toBe('agent_barred');
  return undefined;
}

const confirm = (agentId: string, epoch: bigint) =>
  confirmGeneration(core.database.query, agentId, Number(epoch));
const isHeld = async (agentId: string) => (await core.agents.get(agentId)).agent.status === 'held';

/** What goes wrong after the server has committed the epoch. */
const mishaps = [
  // WELCOME is lost, or the agent dies before it writes.
  'welcome lost',
  // The disk is full: nothing of it is written.
  'write fails',
  // The rename fails, and the file is as it was …
  'rename fails',
  // … or it is done, and only the sync of the folder fails.
  'sync fails',
  // The agent dies when it has stored it, before it says so.
  'confirmation lost',
  // What it said arrives after its next session has begun.
  'confirmation late',
  'nothing',
] as const;
type Mishap = (typeof mishaps)[number];
const step = fc.record({
  mishap: fc.constantFrom(...mishaps),
  /** The agent's process ends, or the machine loses its power, before the next session. */
  afterwards: fc.constantFrom('goes on', 'restarts', 'loses power'),
});

let agents = 0;
async function newAgent(): Promise<string> {
  agents += 1;
  const agentId = `model-${agents}`;
  await enrolled(core, agentId);
  return agentId;
}

test('no crash, full disk or lost message makes an agent look like a copy of itself', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      const agentId = await newAgent();
      const dir = await mkdtemp(join(tmpdir(), 'viworks-generation-'));
      try {
        let mishap: Mishap = 'nothing';
        /** What a loss of power brings back: the file as it was when its folder was last synced. */
        let synced: string | undefined;
        const file = join(dir, 'generation.json');
        const files = {
          async writeBeside(path: string, text: string) {
            if (mishap === 'write fails') throw new Error('no space');
            await writeBeside(path, text);
          },
          async replace(path: string) {
            if (mishap === 'rename fails') throw new Error('no rename');
            await replace(path);
            if (mishap === 'sync fails') throw new Error('no sync');
            synced = await readFile(path, 'utf8');
          },
          async syncFolder(path: string) {
            await syncFolder(path);
            synced = await readIfThere(path);
          },
        };
        const open = () => openGeneration(dir, { agentId, incarnation: 1 }, files);
        let generation: Generation = await open();
        let late: bigint | undefined;
        for (const { mishap: next, afterwards } of steps) {
          mishap = 'nothing';
          const said = await generation.durable();
          const epoch = await connect(agentId, said);
          if (epoch === undefined) throw new Error(`held after ${JSON.stringify(steps)}`);
          if (late !== undefined) await confirm(agentId, late);
          late = undefined;
          mishap = next;
          if (mishap !== 'welcome lost') {
            const stored = await generation.keep(epoch).catch(() => undefined);
            if (stored !== undefined && mishap === 'confirmation late') late = stored;
            else if (stored !== undefined && mishap !== 'confirmation lost') await confirm(agentId, stored);
          }
          // Where the power goes, a rename that was not synced may be undone.
          if (afterwards === 'loses power' && mishap === 'sync fails') {
            if (synced === undefined) await rm(file, { force: true });
            else await writeFile(file, synced);
          }
          if (afterwards !== 'goes on') generation = await open();
        }
        expect(await isHeld(agentId)).toBe(false);
      } finally {
        await rm(dir, { recursive: true, force: true });
      }
    }),
    { numRuns: 150 },
  );
});

/** One side of a copied agent: what it has stored. */
interface Copy {
  stored: bigint;
  /** It has stored an epoch since the copy was made. */
  moved: boolean;
}

test('of two copies one is found out as soon as both have had a session and each comes back once', async () => {
  const turn = fc.record({
    who: fc.integer({ min: 0, max: 1 }),
    outcome: fc.constantFrom('welcome lost', 'confirmation lost', 'confirmed'),
  });
  const before = fc.array(fc.constantFrom('welcome lost', 'confirmation lost', 'confirmed'), {
    maxLength: 4,
  });
  await fc.assert(
    fc.asyncProperty(before, fc.array(turn, { maxLength: 10 }), async (earlier, turns) => {
      const agentId = await newAgent();
      async function session(copy: Copy, outcome: string): Promise<boolean> {
        const epoch = await connect(agentId, copy.stored);
        if (epoch === undefined) return false;
        if (outcome === 'welcome lost') return true;
        Object.assign(copy, { stored: epoch, moved: true });
        if (outcome === 'confirmed') await confirm(agentId, epoch);
        return true;
      }
      const original: Copy = { stored: 0n, moved: false };
      for (const outcome of earlier) expect(await session(original, outcome)).toBe(true);
      const copies = [
        { ...original, moved: false },
        { ...original, moved: false },
      ] as const;
      let found = false;
      for (const { who, outcome } of turns) {
        found ||= !(await session(copies[who === 0 ? 0 : 1], outcome));
        if (found) break;
      }
      // Whatever was so far: one more session of each that gets through, and one to come back with.
      for (const copy of [...copies, ...copies]) found ||= !(await session(copy, 'confirmation lost'));
      expect(found).toBe(true);
      expect(await isHeld(agentId)).toBe(true);
      for (const copy of copies) expect(await session(copy, 'confirmed')).toBe(false);
    }),
    { numRuns: 150 },
  );
});
