import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createFakeTime } from '../../test/support/agent-time.ts';
import { createOutputStreams, type OutputPiece } from './output-stream.ts';

const name = { executionId: 'e', attempt: 1 };

/** A server that acknowledges when a test says so. */
function rig(creditBytes = 100_000) {
  const time = createFakeTime();
  const sent: (OutputPiece & { delivered: () => void })[] = [];
  let open = true;
  const streams = createOutputStreams({
    timers: time.timers,
    send(piece, delivered) {
      if (open) sent.push({ ...piece, delivered });
      return open;
    },
  });
  streams.restart(creditBytes);
  return {
    time,
    sent,
    streams,
    disconnect() {
      open = false;
    },
    reconnect() {
      open = true;
      sent.length = 0;
      streams.restart(creditBytes);
    },
    /** Bytes that the server has, by what it was sent from here on. */
    text: () => Buffer.concat(sent.map((piece) => piece.data)).toString(),
  };
}
const bytes = (text: string) => Buffer.from(text);

describe('output streams', () => {
  it('send nothing of a program that is done at once', () => {
    const { time, sent, streams } = rig();
    const sink = streams.open(name, 1000);
    sink.write('stdout', bytes('quick'));
    time.advance(50);
    expect(sink.close()).toEqual({ stdout: 0, stderr: 0 });
    time.advance(1000);
    expect(sent).toEqual([]);
  });

  it('collect what is written within a moment into one piece for each stream', () => {
    const { time, sent, streams } = rig();
    const sink = streams.open(name, 1000);
    sink.write('stdout', bytes('one '));
    sink.write('stderr', bytes('oh'));
    sink.write('stdout', bytes('two'));
    time.advance(100);
    const told = sent.map(({ stream, offset, data }) => [stream, offset, Buffer.from(data).toString()]);
    expect(told).toEqual([
      ['stdout', 0, 'one two'],
      ['stderr', 0, 'oh'],
    ]);
  });

  it('send at once when there is much', () => {
    const { sent, streams } = rig();
    streams.open(name, 1_000_000).write('stdout', Buffer.alloc(70_000));
    expect(sent.map(({ offset, data }) => [offset, data.byteLength])).toEqual([
      [0, 32_768],
      [32_768, 32_768],
      [65_536, 70_000 - 65_536],
    ]);
  });

  it('never have more unacknowledged than is granted, and give each execution its turn', () => {
    const { sent, streams } = rig(50_000);
    streams.open(name, 1_000_000).write('stdout', Buffer.alloc(500_000));
    streams.open({ ...name, executionId: 'other' }, 1_000_000).write('stdout', Buffer.alloc(40_000));
    const underWay = () => sent.reduce((sum, piece) => sum + piece.data.byteLength, 0);
    expect(underWay()).toBe(50_000);
    for (let turn = 0; turn < 2; turn++) {
      sent.splice(0, 1)[0]?.delivered();
      expect(underWay()).toBeLessThanOrEqual(50_000);
    }
    expect(sent.some((piece) => piece.executionId === 'other')).toBe(true);
  });

  it('send again in the next session what was not acknowledged, and nothing that was', () => {
    const { time, sent, streams, disconnect, reconnect, text } = rig();
    const sink = streams.open(name, 1000);
    sink.write('stdout', bytes('kept '));
    time.advance(100);
    sent[0]?.delivered();
    sink.write('stdout', bytes('lost '));
    time.advance(100);
    disconnect();
    sink.write('stdout', bytes('unheard'));
    time.advance(100);
    reconnect();
    expect(text()).toBe('lost unheard');
    expect(sent[0]?.offset).toBe(5);
  });

  it('keep no more than the limit of each stream', () => {
    const { time, streams, text } = rig();
    const sink = streams.open(name, 10);
    sink.write('stdout', bytes('0123456'));
    sink.write('stdout', bytes('789abcdef'));
    time.advance(100);
    expect(text()).toBe('0123456789');
  });

  it('want nothing where the server grants nothing', () => {
    const { time, sent, streams } = rig(0);
    streams.open(name, 1000).write('stdout', bytes('hello'));
    time.advance(1000);
    expect(sent).toEqual([]);
  });

  it('deliver every byte once or again, whatever the sessions do', () => {
    const steps = fc.array(
      fc.oneof(
        fc.record({ do: fc.constant('write' as const), text: fc.string({ minLength: 1, maxLength: 30 }) }),
        fc.record({ do: fc.constantFrom('acknowledge' as const, 'wait' as const, 'break' as const) }),
      ),
      { maxLength: 60, size: 'max' },
    );
    fc.assert(
      fc.property(steps, (all) => {
        const { time, sent, streams, disconnect, reconnect } = rig(40);
        const sink = streams.open(name, 10_000);
        const server = Buffer.alloc(10_000);
        let written = '';
        let acknowledged = 0;
        const take = () => {
          const piece = sent.shift();
          if (piece === undefined) return;
          expect(piece.offset).toBeLessThanOrEqual(acknowledged);
          server.set(piece.data, piece.offset);
          acknowledged = Math.max(acknowledged, piece.offset + piece.data.byteLength);
          piece.delivered();
        };
        for (const step of all) {
          if (step.do === 'write') {
            sink.write('stdout', bytes(step.text));
            written += step.text;
          } else if (step.do === 'acknowledge') take();
          else if (step.do === 'wait') time.advance(100);
          else {
            disconnect();
            reconnect();
          }
        }
        time.advance(100);
        while (sent.length > 0) take();
        const whole = bytes(written);
        expect(acknowledged).toBe(whole.byteLength);
        expect(server.subarray(0, acknowledged)).toEqual(whole);
        expect(sink.close().stdout).toBe(acknowledged);
      }),
      { numRuns: 500 },
    );
  });
});
