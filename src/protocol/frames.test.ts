import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createFrameDecoder, type Frame, frameEndOfStream, joinFrames } from './frames.ts';

function decodeAll(chunks: readonly Uint8Array[], limit?: number): Frame[] {
  const decoder = createFrameDecoder(limit);
  const frames: Frame[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk);
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push(frame);
  }
  expect(decoder.pending).toBe(false);
  return frames;
}

function split(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes.length === 0 ? bytes.length : (sizes[i % sizes.length] ?? 1);
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

test('frames come out as they went in, however the stream is cut', () => {
  const property = fc.property(
    fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }),
    fc.array(fc.integer({ min: 1, max: 70 }), { maxLength: 8 }),
    (messages, sizes) => {
      const frames = decodeAll(split(joinFrames(messages), sizes));
      expect(frames.map((frame) => Buffer.from(frame.payload).toString('hex'))).toEqual(
        messages.map((message) => Buffer.from(message).toString('hex')),
      );
    },
  );
  fc.assert(property, { numRuns: 300 });
});

test('flags and length lie in the first five bytes, big endian', () => {
  const buffer = joinFrames([new Uint8Array(0x0102)], frameEndOfStream);
  expect([...buffer.subarray(0, 5)]).toEqual([2, 0, 0, 1, 2]);
  expect(decodeAll([buffer])[0]?.flags).toBe(frameEndOfStream);
});

test('a length over the limit is refused at its header, whole or in pieces', () => {
  const header = Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff);
  for (const chunks of [[header], [header.subarray(0, 3), header.subarray(3)]]) {
    expect(() => decodeAll(chunks, 100)).toThrow('A message of 4294967295 bytes');
  }
  expect(decodeAll([joinFrames([new Uint8Array(100)])], 100)).toHaveLength(1);
  expect(() => decodeAll([joinFrames([new Uint8Array(101)])], 100)).toThrow('101 bytes');
});

test('a chunk that comes before the last one was read out is kept behind it', () => {
  const decoder = createFrameDecoder();
  decoder.push(joinFrames([Uint8Array.of(1), Uint8Array.of(2)]));
  expect(decoder.next()?.payload[0]).toBe(1);
  decoder.push(joinFrames([Uint8Array.of(3)]));
  expect(decoder.pending).toBe(true);
  expect(decoder.next()?.payload[0]).toBe(2);
  expect(decoder.next()?.payload[0]).toBe(3);
  expect(decoder.next()).toBeUndefined();
  expect(decoder.pending).toBe(false);
});
