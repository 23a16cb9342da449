import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/**
 * A child is a process of a benchmark: it answers calls and tells events over Node's own channel between
 * processes. What it offers is described by two types that both sides share.
 */

/** Named functions, each with one input. */
export type Calls = Record<string, (input: never) => Promise<unknown>>;
/** Named events, each with one value. */
export type Events = Record<string, unknown>;

export interface Child<C extends Calls, Told extends Events, Heard extends Events> {
  readonly pid: number;
  call<K extends keyof C & string>(name: K, ...input: Parameters<C[K]>): Promise<Awaited<ReturnType<C[K]>>>;
  /** Hears an event of the child. */
  on<K extends keyof Told & string>(name: K, listener: (value: Told[K]) => void): void;
  /** Tells the child. */
  tell<K extends keyof Heard & string>(name: K, value: Heard[K]): void;
  /** Closes the channel, upon which the child ends by itself, and waits for that. */
  end(): Promise<void>;
}

interface Message {
  kind: 'call' | 'answer' | 'error' | 'event';
  id: number;
  name: string;
  value: unknown;
}

export function startChild<C extends Calls, Told extends Events, Heard extends Events>(
  file: URL,
  execArgv: string[] = [],
): Child<C, Told, Heard> {
  const process = fork(file, { execArgv, serialization: 'advanced' });
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  const listeners = new Map<string, (value: unknown) => void>();
  let calls = 0;
  process.on('message', (message) => {
    const { kind, id, name, value } = message as Message;
    if (kind === 'event') {
      listeners.get(name)?.(value);
      return;
    }
    const call = waiting.get(id);
    waiting.delete(id);
    if (kind === 'answer') call?.resolve(value);
    else call?.reject(new Error(`${name}: ${String(value)}`));
  });
  let ended: Error | undefined;
  process.once('exit', (code, signal) => {
    ended = new Error(`${file.pathname} ended: ${signal ?? code}`);
    for (const call of waiting.values()) call.reject(ended);
  });
  const send = (message: Message) => process.send(message, (error) => error && process.kill());
  return {
    pid: process.pid ?? 0,
    call<K extends keyof C & string>(name: K, ...input: Parameters<C[K]>) {
      if (ended !== undefined) return Promise.reject(ended);
      const id = ++calls;
      const answer = new Promise<unknown>((resolve, reject) => waiting.set(id, { resolve, reject }));
      send({ kind: 'call', id, name, value: input[0] });
      return answer as Promise<Awaited<ReturnType<C[K]>>>;
    },
    on(name, listener) {
      listeners.set(name, listener as (value: unknown) => void);
    },
    tell: (name, value) => void send({ kind: 'event', id: 0, name, value }),
    end: () => endOf(process),
  };
}

async function endOf(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const exited = once(process, 'exit');
  if (process.connected) process.disconnect();
  await exited;
}

/**
 * The child's side.
 * @param onEnd called when the parent is done with it, or gone
 * @returns tells the parent an event
 */
export function answerCalls<Told extends Events, Heard extends Events>(
  calls: Calls,
  heard: { [K in keyof Heard]: (value: Heard[K]) => void },
  onEnd: () => Promise<void>,
): <K extends keyof Told & string>(name: K, value: Told[K]) => void {
  const send = (message: Message) => {
    // It may close at this moment; onEnd is called then.
    if (process.connected) process.send?.(message, undefined, undefined, () => {});
  };
  process.on('message', (message) => {
    const { kind, id, name, value } = message as Message;
    if (kind === 'event') {
      heard[name]?.(value as Heard[string]);
      return;
    }
    const call = calls[name] ?? (() => Promise.reject(new Error('there is no such call')));
    call(value as never).then(
      (answer) => send({ kind: 'answer', id, name, value: answer }),
      (error: unknown) =>
        send({ kind: 'error', id, name, value: error instanceof Error ? error.stack : error }),
    );
  });
  process.once('disconnect', () => void onEnd());
  // Ctrl-C reaches the whole group; the parent ends its children in order.
  process.on('SIGINT', () => {});
  return (name, value) => send({ kind: 'event', id: 0, name, value });
}
