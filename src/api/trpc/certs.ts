import type { ApiDeps } from '../deps.ts';
import {
  certificateOutput,
  certificateStatusOutput,
  certificateStatusView,
  certificatesOutput,
  certificateView,
  forceInput,
  issueCertificateInput,
  issuedOutput,
  issuedView,
  listCertificatesInput,
  noInput,
  pinsOutput,
  pinsView,
  revokeCertificateInput,
} from '../schemas/certs.ts';
import { pageRequest } from '../schemas/common.ts';
import { procedure, router } from './trpc.ts';

/** TLS between agents and the server: authorities, pins and certificates. */
export function certsRouter({ certificates }: Pick<ApiDeps, 'certificates'>) {
  const status = procedure.output(certificateStatusOutput);
  return router({
    status: status.input(noInput).query(async () => certificateStatusView(await certificates.status())),

    /** The keys by which agents know the server. */
    pins: procedure
      .input(noInput)
      .output(pinsOutput)
      .query(async () => pinsView(await certificates.pins())),

    /** Those that are not over, newest first. */
    list: procedure
      .input(listCertificatesInput)
      .output(certificatesOutput)
      .query(async ({ input }) => {
        const page = await certificates.list({ agentId: input.agentId }, pageRequest(input));
        return { certificates: page.items.map(certificateView), nextPageToken: page.nextToken };
      }),

    /** A new authority is believed from now on; it issues when it is activated. */
    prepareAuthority: status
      .input(noInput)
      .mutation(async ({ ctx }) =>
        certificateStatusView(await certificates.prepareAuthority(ctx.actor.subject)),
      ),
    dropAuthority: status
      .input(noInput)
      .mutation(async ({ ctx }) =>
        certificateStatusView(await certificates.dropAuthority(ctx.actor.subject)),
      ),
    activateAuthority: status
      .input(noInput)
      .mutation(async ({ ctx }) =>
        certificateStatusView(await certificates.activateAuthority(ctx.actor.subject)),
      ),
    retireAuthority: status
      .input(forceInput)
      .mutation(async ({ ctx, input: { force } }) =>
        certificateStatusView(await certificates.retireAuthority(ctx.actor.subject, force)),
      ),

    /** The backup becomes the key of the server, and there is a new backup. */
    rotatePins: status
      .input(forceInput)
      .mutation(async ({ ctx, input: { force } }) =>
        certificateStatusView(await certificates.rotatePins(ctx.actor.subject, force)),
      ),

    issue: procedure
      .input(issueCertificateInput)
      .output(issuedOutput)
      .mutation(async ({ ctx, input: { request, ...wish } }) =>
        issuedView(
          await certificates.issue(ctx.actor.subject, {
            ...wish,
            request: new Uint8Array(Buffer.from(request, 'base64')),
          }),
        ),
      ),
    revoke: procedure
      .input(revokeCertificateInput)
      .output(certificateOutput)
      .mutation(async ({ ctx, input: { serial, reason } }) => ({
        certificate: certificateView(await certificates.revoke(ctx.actor.subject, serial, reason)),
      })),
  });
}
