import type { FieldRules } from '#gen/buf/validate/validate_pb.js';

/** The validation rules of a protobuf field, in words for people. */

export interface RuleWords {
  rule: string;
  /** The only values that are allowed; the empty one, which means left out, is not among them. */
  choices: readonly string[];
}

export function rulesInWords(rules: FieldRules): RuleWords {
  const parts = rules.cel.map(({ message }) => message);
  const { type } = rules;
  switch (type.case) {
    case 'string':
      parts.push(...stringWords(type.value));
      return { rule: parts.join('; '), choices: type.value.in.filter((value) => value !== '') };
    case 'repeated': {
      const { minItems, maxItems, items } = type.value;
      parts.push(...range(minItems, maxItems, 'items'));
      if (items !== undefined) parts.push(...each('each', rulesInWords(items)));
      return { rule: parts.join('; '), choices: [] };
    }
    case 'map': {
      const { minPairs, maxPairs, keys, values } = type.value;
      parts.push(...range(minPairs, maxPairs, 'pairs'));
      if (keys !== undefined) parts.push(...each('each key', rulesInWords(keys)));
      if (values !== undefined) parts.push(...each('each value', rulesInWords(values)));
      return { rule: parts.join('; '), choices: [] };
    }
    case 'uint32':
    case 'uint64':
    case 'int32':
    case 'int64':
    case 'double':
    case 'float':
      parts.push(...numberWords(type.value));
      return { rule: parts.join('; '), choices: [] };
    default:
      return { rule: parts.join('; '), choices: [] };
  }
}

const each = (what: string, { rule }: RuleWords): string[] => (rule === '' ? [] : [`${what} ${rule}`]);

type StringRules = Extract<FieldRules['type'], { case: 'string' }>['value'];

function stringWords({ minLen, maxLen, pattern, prefix }: StringRules): string[] {
  return [
    ...range(minLen, maxLen, 'characters'),
    ...(prefix === '' ? [] : [`begins with ${prefix}`]),
    ...(pattern === '' ? [] : [`matches ${pattern}`]),
  ];
}

function range(least: bigint, most: bigint, what: string): string[] {
  const count = (n: bigint) => `${n} ${n === 1n ? what.slice(0, -1) : what}`;
  if (least > 0n && most > 0n) return [`${least} to ${count(most)}`];
  if (least > 0n) return [`at least ${count(least)}`];
  return most > 0n ? [`at most ${count(most)}`] : [];
}

interface NumberRules {
  lessThan: { case: 'lt' | 'lte' | undefined; value?: number | bigint | undefined };
  greaterThan: { case: 'gt' | 'gte' | undefined; value?: number | bigint | undefined };
}

function numberWords({ lessThan, greaterThan }: NumberRules): string[] {
  const low = { gt: 'more than', gte: 'at least', none: '' }[greaterThan.case ?? 'none'];
  const high = { lt: 'less than', lte: 'at most', none: '' }[lessThan.case ?? 'none'];
  return [
    ...(low === '' ? [] : [`${low} ${greaterThan.value}`]),
    ...(high === '' ? [] : [`${high} ${lessThan.value}`]),
  ];
}
