import { type BackoffPolicy, backoffDelay } from '../lib/backoff.ts';

/**
 * Server-sent events over fetch, as far as a tRPC subscription needs them. Node has no EventSource of its own,
 * and the one of browsers cannot send an authorization header.
 */

export interface Patience extends BackoffPolicy {
  /** Attempts in a row that may fail before it gives up. */
  attempts: number;
}

/** About a minute in all, which is longer than a restart of the server takes. */
const defaultPatience: Patience = { baseMs: 250, maximumMs: 5000, attempts: 25 };

interface ServerEvent extends Event {
  data?: string;
  lastEventId?: string;
}
type Listener = (event: ServerEvent) => void;

export interface EventSourceInit {
  headers: Readonly<Record<string, string>>;
  patience?: Patience;
}

/** As `httpSubscriptionLink` expects it. */
export class FetchEventSource extends EventTarget {
  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSED = 2;
  readyState = 0;
  readonly #abort = new AbortController();
  readonly #headers: Readonly<Record<string, string>>;
  readonly #patience: Patience;
  #lastEventId = '';
  #wasOpen = false;

  constructor(url: string, init: EventSourceInit) {
    super();
    this.#headers = init.headers;
    this.#patience = init.patience ?? defaultPatience;
    void this.#run(url);
  }

  override addEventListener(type: string, listener: Listener): void {
    super.addEventListener(type, listener as (event: Event) => void);
  }

  override removeEventListener(type: string, listener: Listener): void {
    super.removeEventListener(type, listener as (event: Event) => void);
  }

  close(): void {
    this.readyState = this.CLOSED;
    this.#abort.abort();
  }

  async #run(url: string): Promise<void> {
    for (let attempt = 0; this.readyState !== this.CLOSED; attempt++) {
      let reason: unknown = new Error('the server does not answer');
      try {
        const final = await this.#readOnce(url, () => {
          attempt = 0;
        });
        if (final !== undefined) return this.#fail(final);
      } catch (error) {
        // A server that was never there is an answer; one that was is waited for.
        if (!this.#wasOpen) return this.#fail(error);
        reason = error;
      }
      if (attempt >= this.#patience.attempts) return this.#fail(reason);
      if (this.#abort.signal.aborted) return;
      this.readyState = this.CONNECTING;
      this.dispatchEvent(new Event('error'));
      await delay(backoffDelay(this.#patience, attempt), this.#abort.signal);
    }
  }

  /** Reads until the connection ends. Returns the reason where another attempt is no use. */
  async #readOnce(url: string, onOpen: () => void): Promise<unknown> {
    const response = await fetch(url, {
      headers: {
        ...this.#headers,
        accept: 'text/event-stream',
        ...(this.#lastEventId === '' ? {} : { 'last-event-id': this.#lastEventId }),
      },
      signal: this.#abort.signal,
    });
    const retryable = response.status === 429 || response.status >= 500;
    if (!response.ok || response.body === null) {
      const body: unknown = await response.json().catch(() => undefined);
      return retryable ? undefined : (body ?? new Error(`the server answered ${response.status}`));
    }
    this.readyState = this.OPEN;
    this.#wasOpen = true;
    onOpen();
    for await (const event of parseEvents(response.body.pipeThrough(new TextDecoderStream()))) {
      if (event.id !== undefined) this.#lastEventId = event.id;
      this.dispatchEvent(
        new MessageEvent(event.type, { data: event.data, lastEventId: event.id ?? this.#lastEventId }),
      );
    }
    return undefined;
  }

  #fail(reason: unknown): void {
    this.readyState = this.CLOSED;
    const event = new Event('error');
    // tRPC makes its error out of the event, so the event looks like the body of an answer that failed.
    const shape = typeof reason === 'object' && reason !== null ? Reflect.get(reason, 'error') : undefined;
    if (shape !== undefined) Object.assign(event, { error: shape });
    else
      Object.assign(event, {
        message: reason instanceof Error ? reason.message : String(reason),
        cause: reason,
      });
    this.dispatchEvent(event);
  }
}

interface ParsedEvent {
  type: string;
  data: string;
  id: string | undefined;
}

/** The event stream format of the HTML standard, 9.2.6; lines end with \n as tRPC writes them, or \r\n. */
export async function* parseEvents(chunks: AsyncIterable<string>): AsyncGenerator<ParsedEvent> {
  let rest = '';
  let type = '';
  let data: string[] = [];
  let id: string | undefined;
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        if (data.length > 0) yield { type: type || 'message', data: data.join('\n'), id };
        type = '';
        data = [];
        id = undefined;
        continue;
      }
      const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
      if (field === 'event') type = value;
      else if (field === 'data') data.push(value);
      else if (field === 'id') id = value;
    }
  }
}

function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
