import { invalidField, ViworksError } from '../errors.ts';
import type { Actor, EnrollmentTokens } from '../identity/types.ts';
import { allowsSite, allowsVerb, isWithin, narrows, type Scope } from '../lib/scope.ts';
import type { ApiDeps } from './deps.ts';
import type { TelemetryService } from './telemetry-service.ts';

/**
 * The services as one caller sees them. Whoever is not limited gets them as they are. For anybody else each one
 * knows the limits: lists are filtered where they are read, a target resolves within them, and what lies beyond
 * them is answered as what does not exist. A method that is not here is nobody's who is limited: the table of
 * operations refuses it before.
 */
export interface Core {
  agents: Pick<ApiDeps['agents'], 'list' | 'get' | 'setMaintenance'>;
  commands: Pick<
    ApiDeps['commands'],
    'submit' | 'plan' | 'get' | 'list' | 'cancel' | 'watch' | 'decide' | 'retry' | 'statistics' | 'output'
  >;
  rollouts: Pick<
    ApiDeps['rollouts'],
    'getRollout' | 'listRollouts' | 'pauseRollout' | 'resumeRollout' | 'abortRollout'
  >;
  schedules: Pick<
    ApiDeps['schedules'],
    'list' | 'get' | 'create' | 'update' | 'delete' | 'pause' | 'resume' | 'run' | 'next'
  >;
  alerts: ApiDeps['alerts'];
  telemetry: TelemetryService;
  healthReports: ApiDeps['healthReports'];
  templates: Pick<ApiDeps['templates'], 'list' | 'get' | 'save' | 'delete' | 'render' | 'run'>;
  enrollmentTokens: EnrollmentTokens;
}

export type CoreDeps = Pick<
  ApiDeps,
  | 'agents'
  | 'alerts'
  | 'commands'
  | 'healthReports'
  | 'rollouts'
  | 'schedules'
  | 'telemetry'
  | 'templates'
  | 'enrollmentTokens'
  | 'maxFleetShare'
>;

export function coreFor(deps: CoreDeps, actor: Actor): Core {
  const scope = limitsOf(deps, actor);
  if (scope === undefined) return deps;
  return {
    agents: agentsWithin(deps, scope),
    alerts: alertsWithin(deps, scope),
    telemetry: telemetryWithin(deps, scope),
    commands: commandsWithin(deps, scope),
    healthReports: healthWithin(deps, scope),
    rollouts: rolloutsWithin(deps, scope),
    schedules: schedulesWithin(deps, scope),
    templates: templatesWithin(deps, scope),
    enrollmentTokens: enrollmentWithin(deps, scope),
  };
}

/** What the token says, and how much of the fleet an operator may reach at once. */
function limitsOf({ maxFleetShare }: CoreDeps, { role, scope }: Actor): Scope | undefined {
  return role === 'operator' && maxFleetShare !== undefined ? { ...scope, maxFleetShare } : scope;
}

function agentsWithin({ agents }: CoreDeps, scope: Scope): Core['agents'] {
  const get: Core['agents']['get'] = async (agentId) => {
    const found = await agents.get(agentId);
    if (allowsSite(scope, found.agent.site)) return found;
    throw new ViworksError('agent_unknown', `There is no agent ${JSON.stringify(agentId)}.`, {
      fields: [{ field: 'agentId', problem: 'no such agent' }],
    });
  };
  return {
    get,
    list: (filter, page) => agents.list({ ...filter, sites: scope.sites }, page),
    async setMaintenance(agentId, maintenance, reason) {
      await get(agentId);
      return agents.setMaintenance(agentId, maintenance, reason);
    },
  };
}

/** Of the rest, what is not about single alerts is refused to whoever is limited by the table of operations. */
function alertsWithin({ alerts }: CoreDeps, scope: Scope): Core['alerts'] {
  const get: Core['alerts']['get'] = async (alertId) => {
    const alert = await alerts.get(alertId);
    if (allowsSite(scope, alert.site)) return alert;
    throw new ViworksError('alert_unknown', `There is no alert ${alertId}.`);
  };
  return {
    ...alerts,
    get,
    list: (filter, page) => alerts.list({ ...filter, sites: scope.sites }, page),
    async acknowledge(actor, alertId, note) {
      await get(alertId);
      return alerts.acknowledge(actor, alertId, note);
    },
  };
}

function telemetryWithin(deps: CoreDeps, scope: Scope): Core['telemetry'] {
  const { telemetry } = deps;
  const { get } = agentsWithin(deps, scope);
  const within = <F extends { sites?: readonly string[] | undefined }>(filter: F): F => ({
    ...filter,
    sites: sitesWithin(scope, filter.sites),
  });
  return {
    async latest(of, page) {
      if (!('agentId' in of)) return telemetry.latest({ filter: within(of.filter) }, page);
      await get(of.agentId);
      return telemetry.latest(of, page);
    },
    async samples(agentId, range, page) {
      await get(agentId);
      return telemetry.samples(agentId, range, page);
    },
    async series(wanted, page) {
      await get(wanted.agentId);
      return telemetry.series(wanted, page);
    },
    aggregate: (wanted, page) => telemetry.aggregate({ ...wanted, filter: within(wanted.filter) }, page),
    sites: (wanted, page) => telemetry.sites({ ...wanted, filter: within(wanted.filter) }, page),
  };
}

/** Of those that somebody asks for, or of all. */
const sitesWithin = ({ sites }: Scope, asked: readonly string[] | undefined) =>
  sites === undefined ? asked : (asked?.filter((site) => sites.includes(site)) ?? sites);

/** Beyond the limits there are no agents. */
function healthWithin(deps: CoreDeps, scope: Scope): Core['healthReports'] {
  const { healthReports } = deps;
  const { get } = agentsWithin(deps, scope);
  return {
    async agent(agentId) {
      await get(agentId);
      return healthReports.agent(agentId);
    },
    fleet: ({ site }) => healthReports.fleet({ site, sites: scope.sites }),
    async trends(agentId, days) {
      await get(agentId);
      return healthReports.trends(agentId, days);
    },
  };
}

/** @throws command_unknown for what lies beyond the limits, in the words for what is not there */
async function assertVisible(
  { commands }: Pick<CoreDeps, 'commands'>,
  scope: Scope,
  commandId: string,
): Promise<void> {
  if (!narrows(scope) || (await commands.mayWatch(scope, commandId))) return;
  throw new ViworksError('command_unknown', `There is no command ${commandId}.`);
}

function commandsWithin(deps: CoreDeps, scope: Scope): Core['commands'] {
  const { commands } = deps;
  const visible = (commandId: string) => assertVisible(deps, scope, commandId);
  return {
    submit: (actor, input) => commands.submit(actor, { ...input, within: scope }),
    plan: (input) => commands.plan({ ...input, within: scope }),
    list: (filter, page) => commands.list({ ...filter, scope }, page),
    statistics: (query) => commands.statistics({ ...query, scope }),
    async get(commandId, page) {
      await visible(commandId);
      return commands.get(commandId, page);
    },
    async cancel(actor, commandId, reason) {
      await visible(commandId);
      return commands.cancel(actor, commandId, reason);
    },
    async *watch(commandId, cursor, signal) {
      await visible(commandId);
      yield* commands.watch(commandId, cursor, signal);
    },
    async decide(actor, commandId, verdict, reason) {
      await visible(commandId);
      return commands.decide(actor, commandId, verdict, reason);
    },
    async retry(actor, commandId, options) {
      await visible(commandId);
      return commands.retry(actor, commandId, { ...options, within: scope });
    },
    async output(executionId, stream, offset, limit) {
      if (narrows(scope) && !(await commands.mayRead(scope, executionId)))
        throw new ViworksError('execution_unknown', `There is no execution ${executionId}.`);
      return commands.output(executionId, stream, offset, limit);
    },
  };
}

function rolloutsWithin(deps: CoreDeps, scope: Scope): Core['rollouts'] {
  const { rollouts } = deps;
  const visible = (commandId: string) => assertVisible(deps, scope, commandId);
  return {
    listRollouts: (filter, page) => rollouts.listRollouts({ ...filter, scope }, page),
    async getRollout(commandId) {
      await visible(commandId);
      return rollouts.getRollout(commandId);
    },
    async pauseRollout(actor, commandId, reason) {
      await visible(commandId);
      return rollouts.pauseRollout(actor, commandId, reason);
    },
    async resumeRollout(actor, commandId, options) {
      await visible(commandId);
      return rollouts.resumeRollout(actor, commandId, options);
    },
    async abortRollout(actor, commandId, reason, options) {
      await visible(commandId);
      return rollouts.abortRollout(actor, commandId, reason, options);
    },
  };
}

/** A schedule is visible to whoever may do all that it may. */
function schedulesWithin({ schedules }: CoreDeps, scope: Scope): Core['schedules'] {
  const get: Core['schedules']['get'] = async (name) => {
    const schedule = await schedules.get(name);
    if (isWithin(schedule.scope, scope)) return schedule;
    throw new ViworksError('schedule_unknown', `There is no schedule ${name}.`);
  };
  return {
    get,
    list: (page) => schedules.list(page, scope),
    create: (actor, input) => schedules.create(actor, { ...input, within: scope }),
    async update(actor, name, revision, change) {
      await get(name);
      return schedules.update(actor, name, revision, { ...change, within: scope });
    },
    async delete(name, revision) {
      await get(name);
      return schedules.delete(name, revision);
    },
    async pause(name) {
      await get(name);
      return schedules.pause(name);
    },
    async resume(name) {
      await get(name);
      return schedules.resume(name);
    },
    async run(actor, name, options) {
      await get(name);
      return schedules.run(actor, name, { ...options, within: scope });
    },
    async next(of, count) {
      if ('name' in of) await get(of.name);
      return schedules.next(of, count);
    },
  };
}

/** Templates belong to everybody: others run what one of them says, perhaps within wider limits. */
function templatesWithin({ templates }: CoreDeps, scope: Scope): Core['templates'] {
  const get: Core['templates']['get'] = async (name) => {
    const template = await templates.get(name);
    if (allowsVerb(scope, template.command.verb)) return template;
    throw new ViworksError('template_unknown', `There is no template ${name}.`);
  };
  const assertUnlimited = () => {
    if (narrows(scope))
      throw new ViworksError(
        'scope_exceeded',
        'Others use templates too: a limited token cannot change them.',
      );
  };
  return {
    get,
    list: (page) => templates.list(page, scope),
    async save(actor, input, revision) {
      assertUnlimited();
      return templates.save(actor, input, revision);
    },
    async delete(name, revision) {
      assertUnlimited();
      return templates.delete(name, revision);
    },
    async render(name, use) {
      await get(name);
      return templates.render(name, use);
    },
    async run(actor, name, use, options) {
      await get(name);
      return templates.run(actor, name, use, { ...options, within: scope });
    },
  };
}

/** A token that is bound to an identity would take it away from its site. */
function enrollmentWithin({ agents, enrollmentTokens }: CoreDeps, scope: Scope): EnrollmentTokens {
  return {
    async create(actor, spec) {
      const { sites } = scope;
      if (sites === undefined) return enrollmentTokens.create(actor, spec);
      const beyond = (field: string) =>
        invalidField(field, `is beyond this token, which is for: ${sites.join(', ')}`, 'scope_exceeded');
      if (!sites.includes(spec.site)) throw beyond('site');
      if (spec.agentId !== undefined && !(await isFree(spec.agentId, sites))) throw beyond('agentId');
      return enrollmentTokens.create(actor, spec);
    },
  };

  async function isFree(agentId: string, sites: readonly string[]): Promise<boolean> {
    try {
      return sites.includes((await agents.get(agentId)).agent.site);
    } catch (thrown) {
      if (ViworksError.from(thrown).code === 'agent_unknown') return true;
      throw thrown;
    }
  }
}
