import type { Command, SubmitInput, Target } from '../commands/types.ts';
import type { Page, PageRequest } from '../lib/page.ts';
import type { Scope } from '../lib/scope.ts';

/** A template is a command with places for parameters, kept under a name. */

export const parameterTypes = ['string', 'integer', 'number', 'boolean', 'enum'] as const;
export type ParameterType = (typeof parameterTypes)[number];

export type ParameterValue = string | number | boolean;

export interface Parameter {
  name: string;
  description?: string | undefined;
  type: ParameterType;
  /** Whoever uses the template has to give it. Absent: yes, unless it has a default. */
  required?: boolean | undefined;
  default?: ParameterValue | undefined;
  /** What the template is tried with when it is saved. Absent: the default, or a value that fits the type. */
  example?: ParameterValue | undefined;
  /** string: a regular expression that the whole text matches. */
  pattern?: string | undefined;
  /** integer and number: bounds of the value; string: bounds of its length. */
  min?: number | undefined;
  max?: number | undefined;
  /** enum: the values to choose from. */
  values?: readonly string[] | undefined;
}

/** What is to be submitted, as far as it is known before somebody submits it. */
export type CommandDraft = Omit<SubmitInput, 'target' | 'origin' | 'idempotencyKey' | 'within'> & {
  /** Absent: whoever uses it says on which agents. */
  target?: Target | undefined;
};

export interface TemplateInput {
  name: string;
  description?: string | undefined;
  /** In the order in which they are asked for. */
  parameters: readonly Parameter[];
  /** Strings in its args may have places for parameters: `{{name}}`. */
  command: CommandDraft;
}

export interface Template extends Required<TemplateInput> {
  description: string;
  /** Grows with each change. */
  revision: number;
  updatedBy: string;
  createdAt: Date;
  updatedAt: Date;
}

/** What is put into a template. */
export interface TemplateUse {
  params: Readonly<Record<string, unknown>>;
  /** In place of the template's own. */
  target?: Target | undefined;
}

/** What the API calls. */
export interface TemplateService {
  /** By name. Within a scope: those whose verb it allows. */
  list(page: PageRequest, scope?: Scope): Promise<Page<Template>>;
  /** @throws template_unknown */
  get(name: string): Promise<Template>;
  /**
   * Checks it with example values and stores it.
   * @param revision of the template that it replaces; undefined for a new one
   * @throws invalid_request, invalid_args, verb_unknown, template_unknown, revision_conflict
   */
  save(actor: string, input: TemplateInput, revision: number | undefined): Promise<Template>;
  /** @param revision that it must have; undefined for any @throws template_unknown, revision_conflict */
  delete(name: string, revision: number | undefined): Promise<void>;
  /** What `run` would submit. @throws template_unknown, invalid_request, invalid_args */
  render(name: string, use: TemplateUse): Promise<SubmitInput>;
  /** @throws as render, and as submitting does */
  run(actor: string, name: string, use: TemplateUse, options: RunOptions): Promise<Command>;
}

export type RunOptions = Pick<SubmitInput, 'idempotencyKey' | 'correlationId' | 'within'>;
