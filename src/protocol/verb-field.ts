/** The args of a verb one by one, for people: how each is written, what it must be, what leaving it out means. */
export interface VerbField {
  name: string;
  /** Its key in JSON. */
  jsonName: string;
  shape: 'one' | 'list' | 'map';
  /** Of the value, or of each item. */
  type: FieldType;
  /** Where the type is choice. */
  choices: readonly string[];
  /** Where the type is object and its fields are known. */
  fields: readonly VerbField[];
  required: boolean;
  /** What a value must be, in words; empty if anything of its type will do. */
  rule: string;
  /** What leaving it out means; empty for nothing. */
  default: string;
  help: string;
  /** A value as a person types it; empty if there is none. */
  example: string;
}

export type FieldType =
  | 'text'
  | 'base64'
  | 'integer'
  /** An integer that JSON numbers are too small for. */
  | 'integer64'
  | 'number'
  | 'boolean'
  | 'choice'
  | 'time'
  | 'duration'
  | 'object'
  /** Any JSON. */
  | 'json';
