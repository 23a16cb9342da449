import { expect, test } from 'vitest';
import { catalogue, type ErrorCode, ViworksError } from '../errors.ts';
import { closeCodeOf, errorFromClose, errorFromWire, errorHeaders, wireStatus } from './status.ts';

const codes = Object.keys(catalogue) as ErrorCode[];

test.each(codes)('%s comes back as itself over every transport', (code) => {
  const error = new ViworksError(code, 'a reason', { retryAfterMs: 1_500 });
  const headers = errorHeaders(error);
  const back = errorFromWire({
    connect: wireStatus[error.kind].connect,
    code: headers['viworks-error-code'],
    message: error.message,
    retryAfter: headers['retry-after'],
  });
  expect(back).toMatchObject({ code, message: 'a reason', retryAfterMs: 2_000 });
  expect(errorFromClose(closeCodeOf(error), error.code)?.code).toBe(code);
});

test.each(codes)('%s keeps its kind where only the status comes through', (code) => {
  const { kind } = catalogue[code];
  const back = errorFromWire({ connect: wireStatus[kind].connect, message: '' });
  expect(back.kind).toBe(kind);
  expect(back.retryAfterMs).toBeUndefined();
});

test('what a stranger says becomes an error all the same', () => {
  expect(errorFromWire({ connect: 'unheard_of', code: 'toString', message: 'x' }).code).toBe('unavailable');
  expect(errorFromClose(1000, '')).toBeUndefined();
  expect(errorFromClose(1005, '')).toBeUndefined();
  expect(errorFromClose(1006, '')?.code).toBe('connection_lost');
  expect(errorFromClose(1002, '')?.code).toBe('protocol_violation');
  expect(errorFromClose(1009, '')?.code).toBe('message_too_large');
  expect(errorFromClose(1013, '')?.retryable).toBe(true);
});
