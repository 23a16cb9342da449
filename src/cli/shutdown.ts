import type { Terminal } from './terminal.ts';

/** How a process that serves is asked to stop: once to drain, a second time to end at once. */
export interface Shutdown {
  /** Aborted when somebody asks, or when going on makes no sense. */
  readonly signal: AbortSignal;
  /** Why going on makes no sense. */
  readonly failure: Error | undefined;
  request(reason?: Error): void;
  /** Lets go of the signals. */
  dispose(): void;
}

/** Milliseconds until a stop that hangs is cut short; what runs as a child is killed as the process exits. */
const hardLimitMs = 9500;
const shutdownSignals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** @param except a signal that means something else here */
export function listenForShutdown(terminal: Terminal, except?: NodeJS.Signals): Shutdown {
  const signals = shutdownSignals.filter((signal) => signal !== except);
  const controller = new AbortController();
  let limit: NodeJS.Timeout | undefined;
  let failure: Error | undefined;
  const request = (reason?: Error) => {
    if (controller.signal.aborted) return;
    limit = setTimeout(() => {
      terminal.note('Stopping takes too long; ending at once.');
      process.exit(1);
    }, hardLimitMs);
    failure = reason;
    controller.abort();
  };
  const onSignal = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(signal === 'SIGINT' ? 130 : 143);
    request();
  };
  for (const signal of signals) process.on(signal, onSignal);
  return {
    signal: controller.signal,
    get failure() {
      return failure;
    },
    request,
    dispose() {
      clearTimeout(limit);
      for (const signal of signals) process.removeListener(signal, onSignal);
    },
  };
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
