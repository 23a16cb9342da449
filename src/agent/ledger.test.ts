import { mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { createFakeTime } from '../../test/support/agent-time.ts';
import { submitInput } from '../api/schemas/commands.ts';
import { silentLogger } from '../lib/logger.ts';
import { createMemoryLedger, type Ledger, openLedger } from './ledger.ts';
import { createLedgerState, type LedgerLine, printLine, readLines } from './ledger-state.ts';

async function newFile(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'viworks-ledger-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return join(dir, 'ledger.jsonl');
}

const opened = (file: string, compactBytes?: number) =>
  openLedger(file, { log: silentLogger, ...(compactBytes === undefined ? {} : { compactBytes }) });

/** Opens the file beside the one that is still open, as the next process does after a crash. */
async function afterCrash(file: string): Promise<Ledger> {
  const ledger = await opened(file);
  onTestFinished(() => ledger.close());
  return ledger;
}

test('every synced step survives a crash', async () => {
  const file = await newFile();
  const ledger = await opened(file);
  onTestFinished(() => ledger.close());
  await Promise.all([
    ledger.accepted('a', 1, 7n),
    ledger.started('b', 1, 7n),
    ledger.started('c', 2, 8n),
    ledger.finished('c', 2, Buffer.from('result')),
  ]);
  const copy = await afterCrash(await copyOf(file));
  expect(copy.find('a', 1)).toMatchObject({ phase: 'accepted', epoch: 7n, startedAt: undefined });
  expect(copy.find('b', 1)).toMatchObject({ phase: 'started', startedAt: expect.any(Number) });
  expect(copy.find('c', 2)).toMatchObject({ phase: 'finished', epoch: 8n });
  expect(Buffer.from(resultIn(copy, 'c', 2)).toString()).toBe('result');
  expect(copy.find('c', 1)).toBeUndefined();
});

test('a settled execution keeps its name and loses its result', async () => {
  const file = await newFile();
  const ledger = await opened(file);
  await ledger.started('a', 1, 1n);
  await ledger.finished('a', 1, new Uint8Array(1000));
  expect(ledger.unsettledBytes).toBe(1000);
  ledger.settled('a', 1);
  expect([ledger.unsettledCount, ledger.unsettledBytes]).toEqual([0, 0]);
  await ledger.close();
  const next = await afterCrash(file);
  expect(next.find('a', 1)).toBe('settled');
  expect((await stat(file)).size).toBeLessThan(100);
});

test('steps of one tick share one write', async () => {
  const file = await newFile();
  const ledger = await opened(file);
  onTestFinished(() => ledger.close());
  const order: string[] = [];
  await Promise.all(
    Array.from({ length: 100 }, async (_, i) => {
      await ledger.started(`e${i}`, 1, 1n);
      order.push(`e${i}`);
    }),
  );
  expect(order).toHaveLength(100);
  expect((await readFile(file, 'utf8')).trim().split('\n')).toHaveLength(100);
});

test('the file is rewritten when it outgrows its bound, and nothing is lost by it', async () => {
  const file = await newFile();
  const ledger = await opened(file, 20_000);
  await ledger.started('kept', 1, 1n);
  for (let i = 0; i < 100; i += 1) {
    await ledger.started(`e${i}`, 1, 1n);
    await ledger.finished(`e${i}`, 1, new Uint8Array(600));
    ledger.settled(`e${i}`, 1);
  }
  expect((await stat(file)).size).toBeLessThan(30_000);
  await ledger.close();
  const next = await afterCrash(file);
  expect(next.find('kept', 1)).toMatchObject({ phase: 'started' });
  expect(Array.from({ length: 100 }, (_, i) => next.find(`e${i}`, 1))).toEqual(
    new Array(100).fill('settled'),
  );
});

test('a torn last line is passed over, and the file goes on', async () => {
  const file = await newFile();
  const whole: LedgerLine = { k: 'started', id: 'a', n: 1, at: Date.now(), e: '1' };
  await writeFile(file, `${printLine(whole)}${printLine({ ...whole, id: 'b' }).slice(0, 20)}`);
  const ledger = await opened(file);
  expect(ledger.find('a', 1)).toMatchObject({ phase: 'started' });
  expect(ledger.find('b', 1)).toBeUndefined();
  await ledger.started('c', 1, 1n);
  await ledger.close();
  expect((await afterCrash(file)).find('c', 1)).toMatchObject({ phase: 'started' });
});

test('a ledger that cannot be written says so', async () => {
  const ledger = await opened(await newFile());
  await ledger.close();
  await expect(ledger.started('a', 1, 1n)).rejects.toMatchObject({ code: 'unavailable' });
});

test('names are remembered for longer than any command waits', () => {
  const longestMs = 30 * 86_400_000;
  const command = { verb: 'exec', target: { all: true } };
  expect(submitInput.safeParse({ ...command, timeToLiveMs: longestMs + 1 }).success).toBe(false);
  const state = createLedgerState();
  for (const [id, at] of [
    ['first', 0],
    ['other', longestMs],
  ] as const)
    state.apply({ k: 'settled', id, n: 1, at });
  expect(state.find('first', 1)).toBe('settled');
  expect([...state.lines(longestMs)]).toHaveLength(2);
});

test('names are remembered for a while, and only so many', () => {
  const state = createLedgerState({ rememberMs: 1000, rememberCount: 3 });
  for (const [i, at] of [0, 1, 2, 3].entries()) state.apply({ k: 'settled', id: `e${i}`, n: 1, at });
  expect([state.find('e0', 1), state.find('e1', 1)]).toEqual([undefined, 'settled']);
  state.apply({ k: 'settled', id: 'late', n: 1, at: 1002 });
  expect([state.find('e1', 1), state.find('e2', 1), state.find('e3', 1)]).toEqual([
    undefined,
    undefined,
    'settled',
  ]);
});

test('the ledger in memory has the same rules', async () => {
  const ledger = createMemoryLedger(createFakeTime().clock);
  await ledger.started('a', 1, 1n);
  await ledger.finished('a', 1, Buffer.from('x'));
  await ledger.started('a', 1, 2n);
  expect(ledger.find('a', 1)).toMatchObject({ phase: 'finished' });
  ledger.settled('a', 1);
  await ledger.accepted('a', 1, 3n);
  expect(ledger.find('a', 1)).toBe('settled');
});

const line = fc
  .record({
    k: fc.constantFrom<LedgerLine['k'][]>('accepted', 'started', 'finished', 'settled'),
    id: fc.constantFrom('a', 'b', 'c', 'ä"\n'),
    n: fc.integer({ min: 1, max: 2 }),
    at: fc.integer({ min: 0, max: 1000 }),
    result: fc.uint8Array({ maxLength: 8 }),
  })
  .map(
    ({ k, id, n, at, result }): LedgerLine => ({
      k,
      id,
      n,
      at,
      ...(k === 'settled' ? {} : { e: '5' }),
      ...(k === 'finished' ? { r: result } : {}),
    }),
  );

const rank = { undefined: -1, accepted: 0, started: 1, finished: 2, settled: 3 };
const phaseIn = (state: ReturnType<typeof createLedgerState>, { id, n }: LedgerLine) => {
  const found = state.find(id, n);
  return found === undefined || found === 'settled' ? String(found) : found.phase;
};
const isPhase = (phase: string): phase is keyof typeof rank => phase in rank;
const rankIn = (state: ReturnType<typeof createLedgerState>, of: LedgerLine) => {
  const phase = phaseIn(state, of);
  return isPhase(phase) ? rank[phase] : Number.NaN;
};

test('a crash at any byte loses nothing that was synced and makes nothing up', () => {
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 12 }),
      fc.nat(),
      fc.uint8Array({ maxLength: 20 }),
      (lines, cut, junk) => {
        const all = Buffer.from(lines.map(printLine).join(''));
        const at = all.byteLength === 0 ? 0 : cut % (all.byteLength + 1);
        const text = Buffer.concat([
          all.subarray(0, at),
          Buffer.from(junk).map((b) => (b === 10 ? 0 : b)),
        ]).toString();
        const state = createLedgerState();
        readLines(text, state);
        let bytes = 0;
        const expected = createLedgerState();
        for (const written of lines) {
          bytes += Buffer.byteLength(printLine(written));
          if (bytes <= at) expected.apply(written);
        }
        for (const written of lines) expect(phaseIn(state, written)).toBe(phaseIn(expected, written));
        expect(state.unsettledBytes).toBe(expected.unsettledBytes);
      },
    ),
  );
});

test('an execution only moves forward, and the shortest form says the same', () => {
  fc.assert(
    fc.property(fc.array(line, { maxLength: 20 }), (lines) => {
      const state = createLedgerState();
      for (const written of lines) {
        const before = rankIn(state, written);
        state.apply(written);
        expect(rankIn(state, written)).toBe(Math.max(before, rank[written.k]));
      }
      const again = createLedgerState();
      readLines(Array.from(state.lines(500), printLine).join(''), again);
      for (const written of lines) expect(phaseIn(again, written)).toBe(phaseIn(state, written));
      expect([again.unsettledCount, again.unsettledBytes]).toEqual([
        state.unsettledCount,
        state.unsettledBytes,
      ]);
      const entries = (from: typeof state) =>
        new Map([...from.unsettled()].map((e) => [`${e.executionId}/${e.attempt}`, e.result]));
      expect(entries(again)).toEqual(entries(state));
    }),
  );
});

function resultIn(ledger: Ledger, id: string, attempt: number): Uint8Array {
  const entry = ledger.find(id, attempt);
  if (entry === undefined || entry === 'settled' || entry.result === undefined) throw new Error('no result');
  return entry.result;
}

async function copyOf(file: string): Promise<string> {
  const copy = await newFile();
  const handle = await open(copy, 'w');
  await handle.writeFile(await readFile(file));
  await handle.close();
  return copy;
}
