import type { Config } from '../config/schema.ts';

/** How much may be with agents at once, and how much may wait for them. */
export function commandLimitsOf(command: Config['command']) {
  const verbs = Object.entries(command.verb_limits);
  const inFlight = verbs.flatMap(([verb, { max_concurrent: n }]) =>
    n === undefined ? [] : [[verb, n] as const],
  );
  const queue = verbs.flatMap(([verb, { max_queue_size: n }]) =>
    n === undefined ? [] : [[verb, n] as const],
  );
  return {
    inFlight: {
      perAgent: command.max_concurrent_commands,
      total: command.max_total_concurrent_commands,
      perVerb: new Map(inFlight),
    },
    queue: {
      perAgent: command.max_command_queue_size,
      total: command.max_total_queue_size,
      perVerb: new Map(queue),
    },
  };
}
