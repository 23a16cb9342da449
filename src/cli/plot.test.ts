import fc from 'fast-check';
import { expect, test } from 'vitest';
import { plot, roundUp } from './plot.ts';

const value = fc.option(fc.double(), { nil: null });
const sizes = fc.record({
  width: fc.integer({ min: 1, max: 200 }),
  height: fc.integer({ min: 1, max: 20 }),
  unicode: fc.boolean(),
  minimum: fc.double(),
  maximum: fc.double(),
});

test('whatever is drawn has exactly the size that was asked for', () => {
  fc.assert(
    fc.property(fc.array(value, { maxLength: 500 }), sizes, (values, size) => {
      const lines = plot(values, size);
      expect(lines).toHaveLength(size.height);
      for (const line of lines) {
        expect(line).toHaveLength(size.width);
        expect(line).toMatch(size.unicode ? /^[ \u2801-\u28ff]*$/ : /^[ *]*$/);
      }
    }),
  );
});

test('a column is empty exactly where nothing was measured', () => {
  fc.assert(
    fc.property(
      fc.array(fc.option(fc.double({ noNaN: true, min: 0, max: 1 }), { nil: null }), {
        minLength: 1,
        maxLength: 120,
      }),
      fc.boolean(),
      (values, unicode) => {
        // One column of dots for each value.
        const width = unicode ? Math.ceil(values.length / 2) : values.length;
        const padded = unicode && values.length % 2 === 1 ? [...values, null] : values;
        const lines = plot(padded, { width, height: 3, unicode, minimum: 0, maximum: 1 });
        const drawn = Array.from({ length: width }, (_, at) => lines.some((line) => line[at] !== ' '));
        const measured = Array.from({ length: width }, (_, at) =>
          (unicode ? padded.slice(2 * at, 2 * at + 2) : [padded[at]]).some((each) => each != null),
        );
        expect(drawn).toEqual(measured);
      },
    ),
  );
});

const drawn = (values: readonly (number | null)[], width: number, height: number, unicode = false) =>
  plot(values, { width, height, unicode, minimum: 0, maximum: 3 });

test('a line goes up and down, and breaks where nothing is known', () => {
  expect(drawn([0, 1, 2, 3, 2, null, null, 0, 0], 9, 4)).toEqual([
    '   *     ',
    '  * *    ',
    ' *       ',
    '*      **',
  ]);
});

test('a jump is drawn through', () => {
  expect(drawn([0, 3, 0], 3, 4)).toEqual([' * ', ' **', ' **', '* *']);
});

test('more values than columns keep their extremes', () => {
  expect(drawn([0, 3, 1, 1, 2, 2], 3, 4)).toEqual(['*  ', '* *', '** ', '*  ']);
});

test('fewer values than columns are as wide as each other', () => {
  expect(drawn([0, 3], 4, 2)).toEqual(['  **', '**  ']);
});

test('in braille a character has two by four dots', () => {
  expect(drawn([0, 1, 2, 3, 3, 3], 3, 1, true)).toEqual(['⡠⠊⠉']);
  expect(drawn([3, null], 1, 1, true)).toEqual(['⠁']);
  expect(drawn([], 3, 2, true)).toEqual(['   ', '   ']);
});

test.each([
  [0, 10, 1],
  [0.035, 10, 0.04],
  [1, 10, 1],
  [7, 10, 8],
  [24, 10, 25],
  [101, 10, 150],
  [1000, 2, 1024],
  [1025, 2, 2048],
  [Number.NaN, 2, 1],
] as const)('%d is rounded up to the base %d as %d', (given, base, rounded) => {
  expect(roundUp(given, base)).toBeCloseTo(rounded);
});
