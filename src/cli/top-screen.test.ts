import { EventEmitter } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { createScreen, type Keyboard } from './top-screen.ts';
import type { TopRow } from './top-table.ts';

const row = (agentId: string, cpu: number): TopRow => ({
  agentId,
  site: 'lab',
  status: 'online',
  cpu,
  alerts: 0,
});

function rig(rows: TopRow[], size: { rows: number; columns: number }) {
  const written: string[] = [];
  const modes: boolean[] = [];
  const keys = new EventEmitter();
  const stdout = Object.assign(new EventEmitter(), { rows: size.rows, writableNeedDrain: false });
  const keyboard: Keyboard = {
    stdin: Object.assign(keys, {
      isTTY: true,
      setRawMode(on: boolean) {
        modes.push(on);
        return this as never;
      },
      resume: () => keys as never,
      pause: () => keys as never,
    }),
    stdout,
  };
  const terminal = {
    write: (text: string) => void written.push(text),
    style: (_: string, text: string) => text,
    columns: size.columns,
  };
  const screen = createScreen(terminal, keyboard, 'cpu');
  onTestFinished(screen.close);
  screen.changed(() => [...rows], true);
  return {
    screen,
    written,
    modes,
    stdout,
    press: (key: string) => keys.emit('data', Buffer.from(key)),
    listeners: () => keys.listenerCount('data') + stdout.listenerCount('resize'),
    /** The lines of the last drawing. */
    drawn: () =>
      (written.at(-1) ?? '')
        .replace('\u001b[H', '')
        .replaceAll('\u001b[K', '')
        .replace('\u001b[J', '')
        .split('\r\n'),
  };
}

test('before anything was told it does not say that there are no agents', () => {
  const { screen, drawn } = rig([], { rows: 10, columns: 80 });
  screen.changed(() => [], false);
  screen.open(() => {});
  expect(drawn()[0]).toBe('asking the server …; by cpu; q ends');
  screen.close();
  const all = rig([], { rows: 10, columns: 80 });
  all.screen.open(() => {});
  expect(all.drawn()[0]).toBe('0 agents; 0 alerts; by cpu; q ends');
});

test('it fits the terminal, is sorted by keys, and leaves all as it was', () => {
  const rows = Array.from({ length: 30 }, (_, n) => row(`agent-${String(n).padStart(2, '0')}`, n));
  const { screen, written, modes, press, drawn, listeners } = rig(rows, { rows: 10, columns: 40 });
  let ended = 0;
  screen.open(() => {
    ended += 1;
  });
  expect(written[0]).toBe('\u001b[?1049h\u001b[?25l');
  expect(drawn()).toHaveLength(10);
  expect(drawn().every((line) => line.length < 40)).toBe(true);
  expect(drawn()[0]).toBe('30 agents: 30 online; 0 alerts; by cpu;');
  expect(drawn()[2]).toMatch(/^agent-29 +online +lab +29\.0 %/);
  expect(drawn().at(-1)).toBe('… and 23 more');
  press('n');
  expect(drawn()[2]).toMatch(/^agent-00 /);
  press('x');
  expect(drawn()[2]).toMatch(/^agent-00 /);
  press('q');
  press('\u0003');
  expect(ended).toBe(2);
  screen.close();
  screen.close();
  expect(written.at(-1)).toBe('\u001b[?25h\u001b[?1049l');
  expect(modes).toEqual([true, false]);
  expect(listeners()).toBe(0);
});

test('while the connection is broken it says so, and a terminal that is slow is not written to', () => {
  const { screen, stdout, press, drawn, written } = rig([row('a', 1)], { rows: 24, columns: 100 });
  screen.open(() => {});
  screen.connected(false);
  press('c');
  expect(drawn()[0]).toContain('the connection broke');
  stdout.writableNeedDrain = true;
  const count = written.length;
  press('n');
  expect(written).toHaveLength(count);
});

test('what another machine says does not take over the terminal', () => {
  const { screen, drawn } = rig([row('a\u001b[2J', 1)], { rows: 24, columns: 100 });
  screen.open(() => {});
  expect(drawn()[2]).toContain('a\\x1b[2J');
});
