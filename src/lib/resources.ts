import type { Logger } from './logger.ts';

/** What was started, to be stopped in reverse order; the next one is stopped even if one fails. */
export interface Resources {
  add(name: string, stop: () => Promise<unknown> | unknown): void;
  /** Safe to call more than once. */
  stop(): Promise<void>;
}

export function createResources(log: Logger): Resources {
  const started: { name: string; stop: () => Promise<unknown> | unknown }[] = [];
  let stopping: Promise<void> | undefined;
  async function stopAll(): Promise<void> {
    for (let resource = started.pop(); resource !== undefined; resource = started.pop()) {
      const { name } = resource;
      try {
        await resource.stop();
      } catch (error) {
        log.error({ err: error, name }, 'a part did not stop in order');
      }
      log.debug({ name }, 'stopped');
    }
  }
  return {
    add: (name, stop) => void started.push({ name, stop }),
    stop() {
      stopping ??= stopAll();
      return stopping;
    },
  };
}
