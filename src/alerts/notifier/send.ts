import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isLoopback } from '../../lib/addresses.ts';
import { version } from '../../lib/version.ts';
import type { Attempt } from '../types.ts';

/** One POST to somebody else's server, bounded in every way. */

/** Milliseconds that one attempt may take, from the look-up of the name to the end of the answer's head. */
const timeoutMs = 10_000;

/** What is wrong with a target; undefined if nothing is. @param clearText http is allowed anywhere */
export function targetProblem(text: string, clearText: boolean): string | undefined {
  const url = URL.parse(text);
  if (url === null || !['http:', 'https:'].includes(url.protocol)) return 'must be a URL with https';
  if (url.username !== '' || url.password !== '') return 'must not have a name or password in it';
  if (url.hash !== '') return 'must not have a fragment';
  if (url.protocol === 'http:' && !clearText && !isLoopback(url.hostname))
    return 'must be https; http is for this machine alone, unless alerts.allow_clear_text is set';
  return undefined;
}

/**
 * Redirects are not followed, and what is answered is not read. Never throws.
 * @param signal gives up
 */
export function send(
  url: string,
  headers: Record<string, string>,
  body: string,
  signal?: AbortSignal,
): Promise<Attempt> {
  const started = performance.now();
  return new Promise((resolve) => {
    const over = (status: number | undefined, error: string | undefined) =>
      resolve({
        delivered: error === undefined,
        status,
        error,
        milliseconds: Math.round(performance.now() - started),
      });
    const deadline = AbortSignal.timeout(timeoutMs);
    const request = (url.startsWith('https:') ? requestHttps : requestHttp)(
      url,
      {
        method: 'POST',
        // A connection of its own, which ends with it.
        agent: false,
        headers: {
          ...headers,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          'user-agent': `viworks/${version}`,
        },
        signal: signal === undefined ? deadline : AbortSignal.any([deadline, signal]),
      },
      (response) => {
        const status = response.statusCode ?? 0;
        // Whatever comes after the head is of no use.
        response.on('error', () => {});
        response.destroy();
        over(status, status >= 200 && status < 300 ? undefined : `it answered ${status}`);
      },
    );
    request.on('error', (error: NodeJS.ErrnoException) => {
      if (deadline.aborted) over(undefined, `no answer within ${timeoutMs / 1000} s`);
      else over(undefined, `cannot be reached: ${(error.code ?? error.message).slice(0, 200)}`);
    });
    // Of a connection that was taken for something else (101) neither an answer nor an error is told.
    request.on('close', () => over(undefined, 'it closed the connection without an answer'));
    request.end(body);
  });
}
