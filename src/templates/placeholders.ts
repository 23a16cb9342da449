import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { invalidField } from '../errors.ts';
import type { ParameterValue } from './types.ts';

/**
 * Places for parameters in the args of a command. `{{name}}` alone is the value with its type; in a longer text
 * it is put in as text, and `{{name|text}}` is text in any case. A value is never read again: what looks like a
 * place in it stays as it is. Braces with anything but a name in them are no place (`{{.ID}}` of Docker's
 * formats), and `\{{name}}` stands for the text `{{name}}`.
 */
const place = /(\\?)\{\{ *([A-Za-z_][A-Za-z0-9_]*) *(?:\| *text *)?\}\}/g;
const placeAlone = /^\{\{ *([A-Za-z_][A-Za-z0-9_]*) *(\| *text *)?\}\}$/;

export interface Place {
  parameter: string;
  /** Path of the string, for example `args.argv[1]`. */
  field: string;
  /** The string is the place and nothing else. */
  alone: boolean;
}

/** Every place in the args. @throws invalid_request for one in a key */
export function placesIn(args: JsonValue, field = 'args'): Place[] {
  if (typeof args === 'string') {
    const alone = placeAlone.test(args);
    return [...args.matchAll(place)].flatMap(([, escaped, parameter = '']) =>
      escaped === '' ? [{ parameter, field, alone }] : [],
    );
  }
  if (Array.isArray(args)) return args.flatMap((item, index) => placesIn(item, `${field}[${index}]`));
  if (typeof args !== 'object' || args === null) return [];
  return Object.entries(args).flatMap(([key, value]) => {
    if (hasPlace(key)) throw invalidField(`${field}.${key}`, 'a parameter cannot be part of a name');
    return placesIn(value, `${field}.${key}`);
  });
}

export const hasPlace = (text: string): boolean =>
  [...text.matchAll(place)].some(([, escaped]) => escaped === '');

/**
 * The args with the values in their places. A place alone without a value leaves out its field, or its item of
 * a list; an item of a list stays one item whatever is put into it.
 */
export function fillArgs(args: JsonObject, values: ReadonlyMap<string, ParameterValue>): JsonObject {
  return Object.fromEntries(
    Object.entries(args).flatMap(([key, value]) => {
      const filled = fill(value, values);
      return filled === undefined ? [] : [[key, filled]];
    }),
  );
}

function fill(value: JsonValue, values: ReadonlyMap<string, ParameterValue>): JsonValue | undefined {
  if (typeof value === 'string') {
    const [, alone, asText] = placeAlone.exec(value) ?? [];
    if (alone !== undefined) {
      const given = values.get(alone);
      return given === undefined || asText === undefined ? given : String(given);
    }
    return value.replace(place, (found, escaped: string, name: string) =>
      escaped === '' ? String(values.get(name) ?? '') : found.slice(escaped.length),
    );
  }
  if (Array.isArray(value)) {
    return value.map((item) => fill(item, values)).filter((item) => item !== undefined);
  }
  return typeof value === 'object' && value !== null ? fillArgs(value, values) : value;
}
