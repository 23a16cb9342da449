import type { SubmitInput, Target } from '../commands/types.ts';
import { invalidField, ViworksError, withFieldsUnder } from '../errors.ts';
import { checkParameters, exampleValues, isRequired, readParameters } from './parameters.ts';
import { fillArgs, hasPlace, placesIn } from './placeholders.ts';
import type { Parameter, ParameterValue, TemplateInput, TemplateUse } from './types.ts';

/** What a template makes of values. */

type Body = Pick<TemplateInput, 'parameters' | 'command'>;

/** @throws invalid_request with every wrong parameter, or where no agents are named */
export function renderTemplate({ parameters, command }: Body, use: TemplateUse): SubmitInput {
  const values = readParameters(parameters, use.params);
  const target = use.target ?? command.target;
  if (target === undefined) throw invalidField('target', 'must be given: the template names no agents');
  return commandWith({ parameters, command }, values, target);
}

/**
 * A template that can be used: parameters and places fit each other, and example values make a command.
 * @param check of a command @throws invalid_request, and what check throws
 */
export function checkTemplate({ parameters, command }: Body, checkInput: (input: SubmitInput) => void): void {
  const check = (values: ReadonlyMap<string, ParameterValue>) => {
    try {
      const target = command.target ?? { all: true as const };
      checkInput(commandWith({ parameters, command }, values, target));
    } catch (thrown) {
      throw withFieldsUnder('command', ViworksError.from(thrown));
    }
  };
  checkParameters(parameters);
  if (hasPlace(command.verb)) throw invalidField('command.verb', 'a parameter cannot be part of a name');
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  const places = placesIn(command.args ?? {}, 'command.args');
  for (const { parameter: name, field, alone } of places) {
    const parameter = byName.get(name);
    if (parameter === undefined) {
      const names = [...byName.keys()].join(', ') || 'none';
      throw invalidField(
        field,
        `{{${name}}} names no parameter (there are: ${names}); write \\{{${name}}} for the text itself`,
      );
    }
    if (!alone && mayBeAbsent(parameter)) {
      throw invalidField(field, `{{${name}}} is inside a text and may be absent; give it a default`);
    }
  }
  const used = new Set(places.map((place) => place.parameter));
  parameters.forEach(({ name }, index) => {
    if (!used.has(name))
      throw invalidField(`parameters[${index}].name`, `{{${name}}} is nowhere in the args`);
  });
  check(exampleValues(parameters));
  // What may be left out is tried without it as well.
  const needed = [...exampleValues(parameters.filter((each) => !mayBeAbsent(each)))];
  if (needed.length < parameters.length) check(new Map(needed));
}

const mayBeAbsent = (parameter: Parameter): boolean =>
  !isRequired(parameter) && parameter.default === undefined;

function commandWith(
  { command }: Body,
  values: ReadonlyMap<string, ParameterValue>,
  target: Target,
): SubmitInput {
  return { ...command, args: fillArgs(command.args ?? {}, values), target };
}
