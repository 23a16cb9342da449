import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { invalidField } from '../errors.ts';
import { wireLimits } from '../protocol/limits.ts';
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
 * @throws invalid_args where the values in all their places are more than args may be
 */
export function fillArgs(args: JsonObject, values: ReadonlyMap<string, ParameterValue>): JsonObject {
  let room: number = wireLimits.argsBytes;

  /** A long value in many places would fill the memory long before the args could be measured. */
  function put<Value extends ParameterValue>(given: Value): Value {
    room -= typeof given === 'string' ? given.length : 0;
    if (room >= 0) return given;
    const problem = `must be at most ${wireLimits.argsBytes} bytes with the values in their places`;
    throw invalidField('args', problem, 'invalid_args');
  }

  function fill(value: JsonValue): JsonValue | undefined {
    if (typeof value === 'string') {
      const [, alone, asText] = placeAlone.exec(value) ?? [];
      if (alone !== undefined) {
        const given = values.get(alone);
        return given === undefined ? undefined : put(asText === undefined ? given : String(given));
      }
      return value.replace(place, (found, escaped: string, name: string) =>
        escaped === '' ? put(String(values.get(name) ?? '')) : found.slice(escaped.length),
      );
    }
    if (Array.isArray(value)) return value.map(fill).filter((item) => item !== undefined);
    return typeof value === 'object' && value !== null ? fillObject(value) : value;
  }

  function fillObject(object: JsonObject): JsonObject {
    return Object.fromEntries(
      Object.entries(object).flatMap(([key, value]) => {
        const filled = fill(value);
        return filled === undefined ? [] : [[key, filled]];
      }),
    );
  }
  return fillObject(args);
}
