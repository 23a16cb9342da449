import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createEventParser, type StreamEvent } from './event-stream.ts';

function parse(pieces: string[], lastEventId = ''): StreamEvent[] {
  const events: StreamEvent[] = [];
  const take = createEventParser((event) => events.push(event), lastEventId);
  pieces.forEach(take);
  return events;
}

test('reads type, data of several lines and id; comments and unknown fields say nothing', () => {
  expect(parse([': hello\n\nevent: ping\ndata:\n\nid: 7\ndata: a\ndata:b\nretry: 5\nfoo\n\n'])).toEqual([
    { type: 'ping', data: '', id: '' },
    { type: 'message', data: 'a\nb', id: '7' },
  ]);
});

test('an id stays until another comes, and an event that is not finished is none', () => {
  expect(parse(['data: 1\n\nid: b\ndata: 2\n\ndata: 3\n\ndata: 4\n'], 'a')).toEqual([
    { type: 'message', data: '1', id: 'a' },
    { type: 'message', data: '2', id: 'b' },
    { type: 'message', data: '3', id: 'b' },
  ]);
});

test('pieces and line ends make no difference', () => {
  const lines = ['event: x', 'id: 1', 'data: {"a":1}', '', 'data: 2', 'data: 3', '', ''];
  const whole = parse([lines.join('\n')]);
  fc.assert(
    fc.property(
      fc.constantFrom('\n', '\r\n', '\r'),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 40 }),
      (lineEnd, sizes) => {
        const text = `${lines.join(lineEnd)}: end\n`;
        const pieces: string[] = [];
        let at = 0;
        for (const size of sizes) {
          pieces.push(text.slice(at, at + size));
          at += size;
        }
        pieces.push(text.slice(at));
        expect(parse(pieces)).toEqual(whole);
      },
    ),
  );
});
