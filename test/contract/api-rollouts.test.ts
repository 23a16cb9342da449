import { describe, expect, test } from 'vitest';
import { RolloutState } from '#gen/viworks/control/v1/rollout_pb.js';
import { startApi, type TestApi } from '../support/api-server.ts';
import { errorOf } from '../support/api-surfaces.ts';

/** Rollouts over every surface: what is asked for arrives, and what is answered is the same everywhere. */

interface RolloutSurface {
  submit(): Promise<string>;
  /** With a plan that breaks its rules. */
  submitWrong(): Promise<unknown>;
  show(commandId: string): Promise<{ state: string; reason: string; batch: unknown; waiting: number }>;
  list(state: 'running' | 'paused'): Promise<string[]>;
  pause(commandId: string, reason: string): Promise<string>;
  resume(commandId: string, force: boolean): Promise<string>;
  abort(commandId: string, stopRunning: boolean): Promise<string>;
}

async function trpc(api: TestApi): Promise<RolloutSurface> {
  const client = await api.trpc('operator');
  const base = { verb: 'exec' as const, target: { agents: ['alpha', 'beta'] } };
  return {
    submit: async () => {
      const rollout = {
        canary: 0,
        batch: { percent: 12.5 },
        maxInFlight: 3,
        failureThreshold: { percent: 20, minimumSample: 10 },
        deliveryFailureThreshold: { percent: 50, minimumSample: 4 },
        pauseAfterCanary: true,
        deliveryTimeoutMs: 1500,
      };
      return (await client.commands.submit.mutate({ ...base, rollout })).command.commandId;
    },
    submitWrong: () => client.commands.submit.mutate({ ...base, rollout: { deliveryTimeoutMs: 1 } }),
    async show(commandId) {
      const { command } = await client.rollouts.get.query({ commandId });
      const { state = '', reason = '', plan, counts } = command.rollout ?? {};
      return { state, reason, batch: plan?.batch, waiting: counts?.waiting ?? -1 };
    },
    list: async (state) =>
      (await client.rollouts.list.query({ state })).commands.map(({ commandId }) => commandId),
    pause: async (commandId, reason) =>
      (await client.rollouts.pause.mutate({ commandId, reason })).command.rollout?.reason ?? '',
    resume: async (commandId, force) =>
      (await client.rollouts.resume.mutate({ commandId, force })).command.rollout?.reason ?? '',
    abort: async (commandId, stopRunning) =>
      (await client.rollouts.abort.mutate({ commandId, stopRunning })).command.rollout?.reason ?? '',
  };
}

async function control(api: TestApi, protocol: 'grpc' | 'connect'): Promise<RolloutSurface> {
  const client = await api.control(protocol, 'operator');
  const spec = {
    verb: 'exec',
    target: { target: { case: 'agents' as const, value: { agentIds: ['alpha', 'beta'] } } },
  };
  return {
    async submit() {
      const rollout = {
        canary: 0,
        batch: { case: 'batchPercent' as const, value: 12.5 },
        maxInFlight: 3,
        failureThreshold: { percent: 20, minimumSample: 10 },
        deliveryFailureThreshold: { percent: 50, minimumSample: 4 },
        pauseAfterCanary: true,
        deliveryTimeout: { seconds: 1n, nanos: 500_000_000 },
      };
      return (await client.submitCommand({ spec: { ...spec, rollout } })).command?.commandId ?? '';
    },
    submitWrong: () =>
      client.submitCommand({ spec: { ...spec, rollout: { deliveryTimeout: { nanos: 1_000_000 } } } }),
    async show(commandId) {
      const { command } = await client.getRollout({ commandId });
      const rollout = command?.rollout;
      if (rollout === undefined) throw new Error('it has no rollout');
      const { plan, state, reason, counts } = rollout;
      expect(command?.spec?.rollout).toEqual(plan);
      const batch = plan?.batch?.case === 'batchPercent' ? { percent: plan.batch.value } : undefined;
      return { state: RolloutState[state].toLowerCase(), reason, batch, waiting: counts?.waiting ?? -1 };
    },
    async list(state) {
      const wanted = state === 'running' ? RolloutState.RUNNING : RolloutState.PAUSED;
      return (await client.listRollouts({ state: wanted })).commands.map(({ commandId }) => commandId);
    },
    pause: async (commandId, reason) =>
      (await client.pauseRollout({ commandId, reason })).command?.rollout?.reason ?? '',
    resume: async (commandId, force) =>
      (await client.resumeRollout({ commandId, force })).command?.rollout?.reason ?? '',
    abort: async (commandId, stopRunning) =>
      (await client.abortRollout({ commandId, stopRunning })).command?.rollout?.reason ?? '',
  };
}

describe.each(['trpc', 'grpc', 'connect'] as const)('rollouts over %s', (name) => {
  const surfaceOf = (api: TestApi) => (name === 'trpc' ? trpc(api) : control(api, name));

  test('the plan arrives as it was asked for, and comes back', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    const commandId = await surface.submit();
    expect(api.commands.submitted[0]?.input.rollout).toEqual({
      canary: 0,
      batch: { percent: 12.5 },
      maxInFlight: 3,
      failureThreshold: { percent: 20, minimumSample: 10 },
      deliveryFailureThreshold: { percent: 50, minimumSample: 4 },
      pauseAfterCanary: true,
      deliveryTimeoutMs: 1500,
    });
    expect(await surface.show(commandId)).toEqual({
      state: 'running',
      reason: '',
      batch: { percent: 12.5 },
      waiting: 2,
    });
  });

  test('a person pauses, resumes and aborts it in his own name', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    const commandId = await surface.submit();
    expect(await surface.pause(commandId, 'lunch')).toBe('the operator: lunch');
    expect((await surface.show(commandId)).state).toBe('paused');
    expect(await surface.list('paused')).toEqual([commandId]);
    expect(await surface.list('running')).toEqual([]);
    expect(await surface.resume(commandId, false)).toBe('the operator');
    expect(await surface.resume(commandId, true)).toBe('the operator by force');
    expect(await surface.abort(commandId, true)).toBe('the operator:  and stop');
    expect(await errorOf(surface.resume(commandId, true))).toMatchObject({ code: 'rollout_state' });
  });

  test('a wrong plan is refused by the name of its field, and what is no rollout is named', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    const field = name === 'trpc' ? 'rollout.deliveryTimeoutMs' : 'spec.rollout.delivery_timeout';
    expect(await errorOf(surface.submitWrong())).toMatchObject({
      code: 'invalid_request',
      fields: [expect.objectContaining({ field })],
    });
    expect(api.commands.submitted).toEqual([]);
    const plain = await api.commands.submit('x', { verb: 'exec', target: { agents: ['alpha'] } });
    expect(await errorOf(surface.show(plain.commandId))).toMatchObject({ code: 'rollout_unknown' });
  });
});
