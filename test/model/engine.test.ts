import fc from 'fast-check';
import { expect, test } from 'vitest';
import { finalStates } from '../../src/commands/types.ts';
import { type Action, createWorld, isOpen, type World } from './world.ts';

/**
 * Thousands of short lives of the engine: commands, crashes, lost, repeated and reordered messages, clock jumps.
 * A failure prints its seed and path; put both into `parameters` to see it again.
 */
const parameters: fc.Parameters<[Action[], number]> = { numRuns: 5000 };

const which = fc.nat({ max: 7 });
const again = fc.boolean();
const one = <T extends Action['do']>(name: T) => fc.constant({ do: name } as Extract<Action, { do: T }>);
const verbs = fc.constantFrom('exec', 'exec', 'system.info');
const actions: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('submit' as const),
      verb: verbs,
      maxRetries: fc.nat({ max: 2 }),
      timeToLiveMs: fc.constantFrom(2000, 60_000, 600_000),
    }),
  },
  { weight: 4, arbitrary: one('take') },
  { weight: 1, arbitrary: one('take and die') },
  { weight: 5, arbitrary: one('commit') },
  { weight: 3, arbitrary: one('sweep') },
  { weight: 4, arbitrary: one('connect') },
  { weight: 1, arbitrary: one('break') },
  { weight: 1, arbitrary: one('crash server') },
  { weight: 1, arbitrary: one('restart agent') },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), which, again }) },
  { weight: 7, arbitrary: fc.record({ do: fc.constant('to server' as const), which, again }) },
  { weight: 7, arbitrary: fc.record({ do: fc.constant('to agent' as const), which, again }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('to agent and die' as const), which, again }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('finish' as const),
      which,
      ending: fc.constantFrom('succeeded', 'failed', 'timed_out'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('time' as const),
      ms: fc.constantFrom(-20_000, 1, 500, 5000, 31_000, 70_000),
    }),
  },
);
const lives = fc.tuple(fc.array(actions, { minLength: 20, maxLength: 120, size: 'max' }), fc.nat());

/** What must be true at every moment. */
function assertAlways(world: World): void {
  for (const row of world.server.rows.values()) {
    const effects = world.agent.effects.get(row.executionId) ?? 0;
    if (row.verb === 'exec') expect(effects, 'an effect that must happen once').toBeLessThanOrEqual(1);
    expect(isOpen(row.state)).toBe(row.deadlineAt !== null);
    // Words that say that nothing happened are said only where nothing did.
    const ended = row.history.at(-1);
    if (row.retries > 0) continue;
    if (row.state === 'expired') expect(effects, `expired: ${JSON.stringify(row.history)}`).toBe(0);
    if (row.state === 'cancelled' && ended?.cause === 'called off') expect(effects, 'cancelled').toBe(0);
    if (row.state === 'succeeded') expect(effects, 'succeeded').toBeGreaterThanOrEqual(1);
  }
}

/**
 * Nothing follows a final state, but what a late result says of an unknown one. What the agent said before that
 * result may be written with it.
 */
function assertFinal(history: readonly { state: string }[]): void {
  history.slice(0, -1).forEach(({ state }, at) => {
    if (!finalStates.has(state as never)) return;
    expect(state).toBe('outcome_unknown');
    const later = history
      .slice(at + 1)
      .filter((next) => next.state !== 'accepted' && next.state !== 'running');
    expect(late).toContain(later[0]?.state);
  });
}
const late = ['succeeded', 'failed', 'timed_out', 'cancelled', 'outcome_unknown'];

test('whatever happens in between, every command ends, nothing is done twice, and no state lies', () => {
  fc.assert(
    fc.property(lives, ([life, seed]) => {
      const world = createWorld();
      let random = seed % 1000;
      for (const action of life) {
        random = (random * 7919 + 13) % 1000;
        world.step(action, random / 1000);
        assertAlways(world);
      }
      world.settle();
      assertAlways(world);
      for (const row of world.server.rows.values()) {
        expect(isOpen(row.state), `${row.executionId} never ends: ${JSON.stringify(row.history)}`).toBe(
          false,
        );
        assertFinal(row.history);
        const acknowledged = world.agent.reportedSuccess.has(`${row.executionId}/${row.attempt}`);
        if (acknowledged) expect(row.state, 'an acknowledged result is lost').toBe('succeeded');
      }
    }),
    parameters as never,
  );
});
