import { backoffDelay } from '../lib/backoff.ts';
import { createEventParser } from './event-stream.ts';

/**
 * An EventSource (the HTML standard's) that can send headers. Browsers' own cannot, Node has none by default,
 * and a token does not belong into an address. It goes on after a break with Last-Event-ID, and unlike the
 * standard's also where a proxy or a server that starts answers 429, 502, 503 or 504 meanwhile.
 */

export interface HeaderEventSourceInit {
  /** Asked again for every connection, so that a renewed token is used. */
  headers?: Record<string, string> | (() => Record<string, string>);
  withCredentials?: boolean;
  /**
   * Attempts in a row that may fail before it gives up, and one alone before it was ever open: a server that
   * was never there is an answer. Without it, it never gives up.
   */
  attempts?: number;
}

const backoff = { baseMs: 500, maximumMs: 30_000 };
const passing = new Set([429, 502, 503, 504]);

export class HeaderEventSource extends EventTarget {
  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSED = 2;
  readonly url: string;
  readyState = 0;

  readonly #headers: () => Record<string, string>;
  readonly #attempts: number | undefined;
  readonly #closed = new AbortController();
  #wasOpen = false;
  #lastEventId = '';
  #attempt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(url: string, init: HeaderEventSourceInit = {}) {
    super();
    const { headers = {} } = init;
    this.url = url;
    this.#attempts = init.attempts;
    this.#headers = typeof headers === 'function' ? headers : () => headers;
    void this.#connect();
  }

  close(): void {
    this.readyState = this.CLOSED;
    clearTimeout(this.#timer);
    this.#closed.abort();
  }

  async #connect(): Promise<void> {
    try {
      const response = await fetch(this.url, {
        headers: {
          ...this.#headers(),
          accept: 'text/event-stream',
          ...(this.#lastEventId && { 'last-event-id': this.#lastEventId }),
        },
        signal: this.#closed.signal,
      });
      const type = response.headers.get('content-type') ?? '';
      if (!response.ok || response.body === null || !type.startsWith('text/event-stream')) {
        const body: unknown = await response.json().catch(() => undefined);
        if (!passing.has(response.status)) return this.#fail(`The server answered ${response.status}.`, body);
      } else {
        await this.#read(response.body);
      }
      this.#reconnect('The event stream ended.');
    } catch (error) {
      // fetch says only that it failed; the reason lies in its cause.
      const reason = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      this.#reconnect(reason instanceof Error ? reason.message : String(reason));
    }
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    this.readyState = this.OPEN;
    this.#wasOpen = true;
    this.dispatchEvent(new Event('open'));
    const parser = createEventParser((event) => {
      // tRPC greets before it knows whether it can serve; only these show that it does.
      if (event.type === 'message' || event.type === 'ping') this.#attempt = 0;
      this.#lastEventId = event.id;
      if (this.readyState === this.CLOSED) return;
      this.dispatchEvent(new MessageEvent(event.type, { data: event.data, lastEventId: event.id }));
    }, this.#lastEventId);
    const decoder = new TextDecoder();
    for await (const chunk of body) parser(decoder.decode(chunk, { stream: true }));
  }

  #reconnect(reason: string): void {
    if (this.readyState === this.CLOSED) return;
    if (this.#attempts !== undefined && this.#attempt >= (this.#wasOpen ? this.#attempts : 0)) {
      return this.#fail(reason);
    }
    this.readyState = this.CONNECTING;
    this.dispatchEvent(errorEvent(reason));
    // A listener may have closed it.
    if (this.readyState !== this.CONNECTING) return;
    this.#timer = setTimeout(() => void this.#connect(), backoffDelay(backoff, this.#attempt));
    this.#attempt += 1;
  }

  #fail(reason: string, body?: unknown): void {
    if (this.readyState === this.CLOSED) return;
    this.close();
    this.dispatchEvent(errorEvent(reason, body));
  }
}

/** tRPC makes its error out of the event where that looks like the body of an answer that failed. */
function errorEvent(message: string, body?: unknown): Event {
  const error: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, 'error') : undefined;
  return Object.assign(new Event('error'), error === undefined ? { message } : { error });
}
