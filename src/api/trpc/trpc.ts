import { initTRPC, TRPCError } from '@trpc/server';
import { TRPC_ERROR_CODES_BY_KEY } from '@trpc/server/rpc';
import { z } from 'zod';
import { ViworksError } from '../../errors.ts';
import type { Actor } from '../../identity/types.ts';
import type { CallAudit } from '../audited.ts';
import { authorize } from '../authorize.ts';
import { withinDeadline } from '../call.ts';
import type { Core } from '../core.ts';
import { type EdgeStatus, endpointUnknown, errorData, statusOf } from '../errors.ts';
import type { RateHeaders } from '../limits.ts';
import { invalidRequest } from '../schemas/problems.ts';
import type { Standing } from '../standing.ts';

/**
 * tRPC is how backend applications in TypeScript call: a procedure for each operation, typed from end to end.
 * Here is what all procedures share: who calls and may it, the deadline, and the form of errors.
 */

export interface Context {
  /** @throws unauthenticated, rate_limited */
  authenticate(): Promise<Actor>;
  /** The services as this caller sees them. */
  coreFor(actor: Actor): Core;
  /** Counts one call of the caller. @throws rate_limited */
  countCall(actor: Actor): Promise<void>;
  /** Whether the caller's token is still good; one more stream of the caller until it ends. @throws rate_limited */
  watchStanding(actor: Actor): Standing;
  /** Headers that say how much more the caller may ask. */
  readonly rateHeaders: RateHeaders;
  countSuccess(operation: string): void;
  audit: CallAudit;
  /** Aborts when the service stops; streams end then. */
  stopping: AbortSignal;
}

const keepAliveMs = 15_000;

const t = initTRPC.context<Context>().create({
  isDev: false,
  errorFormatter({ error }) {
    const known = viworksError(error);
    return errorShape(known, statusFrom(error, known));
  },
  // Proxies cut streams that say nothing; a client that hears nothing for three pings connects again.
  sse: {
    ping: { enabled: true, intervalMs: keepAliveMs },
    client: { reconnectAfterInactivityMs: 3 * keepAliveMs },
  },
});

export const router = t.router;

/** Checks who calls before it looks at the input, so that a stranger learns nothing from its answers. */
export const procedure = t.procedure.use(async ({ ctx, path, next, type, getRawInput }) => {
  try {
    const actor = await admit(ctx, path);
    const call = async () => {
      const done = await next({ ctx: { actor, core: ctx.coreFor(actor) } });
      if (!done.ok) throw viworksError(done.error);
      return done;
    };
    const audited = async () => {
      // What cannot be read is refused by the call.
      const input = await getRawInput().catch(() => undefined);
      return ctx.audit.run(path, actor, () => input, call);
    };
    const result = await (type === 'subscription'
      ? call()
      : withinDeadline(type === 'mutation' ? audited() : call()));
    ctx.countSuccess(path);
    return result;
  } catch (thrown) {
    throw trpcError(thrown);
  }
});

/** @throws unauthenticated, permission_denied, rate_limited */
async function admit(ctx: Context, path: string): Promise<Actor> {
  let actor: Actor | undefined;
  try {
    actor = await ctx.authenticate();
    await ctx.countCall(actor);
    authorize(actor, path);
    ctx.audit.admitted(actor);
    return actor;
  } catch (thrown) {
    ctx.audit.refused(path, actor, ViworksError.from(thrown));
    throw thrown;
  }
}

/** The error of the catalogue that stands behind what tRPC caught, or made itself. */
export function viworksError(error: TRPCError): ViworksError {
  const { cause, code } = error;
  if (cause instanceof ViworksError) return cause;
  if (code === 'BAD_REQUEST' && cause instanceof z.core.$ZodError) return invalidRequest(cause);
  if (code === 'NOT_FOUND') return endpointUnknown('such procedure');
  if (code === 'PAYLOAD_TOO_LARGE') return new ViworksError('message_too_large', 'The request is too large.');
  if (code === 'CLIENT_CLOSED_REQUEST') return new ViworksError('cancelled', 'The caller went away.');
  if (code === 'METHOD_NOT_SUPPORTED' || code === 'UNSUPPORTED_MEDIA_TYPE') {
    return new ViworksError('invalid_request', error.message);
  }
  if (code === 'BAD_REQUEST' || code === 'PARSE_ERROR') {
    // Without a cause the words are tRPC's own; with one they may be those of any parser.
    const message = cause === undefined ? error.message : 'The request is not well formed.';
    return new ViworksError('invalid_request', message, { cause });
  }
  return ViworksError.from(cause ?? error);
}

/** The form in which tRPC's clients read an error. */
export function errorShape(error: ViworksError, status: Pick<EdgeStatus, 'http' | 'trpc'> = statusOf(error)) {
  return {
    message: error.message,
    code: TRPC_ERROR_CODES_BY_KEY[status.trpc],
    data: { ...errorData(error), httpStatus: status.http },
  };
}

function trpcError(thrown: unknown): TRPCError {
  const known = thrown instanceof TRPCError ? viworksError(thrown) : ViworksError.from(thrown);
  return new TRPCError({ code: statusOf(known).trpc, message: known.message, cause: known });
}

/** tRPC's own refusals of a method or a media type keep their more precise status. */
function statusFrom(error: TRPCError, known: ViworksError): Pick<EdgeStatus, 'http' | 'trpc'> {
  if (error.code === 'METHOD_NOT_SUPPORTED') return { http: 405, trpc: error.code };
  if (error.code === 'UNSUPPORTED_MEDIA_TYPE') return { http: 415, trpc: error.code };
  return statusOf(known);
}
