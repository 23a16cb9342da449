import type { ApiDeps } from '../deps.ts';
import {
  auditEntryView,
  auditHeadInput,
  auditHeadOutput,
  auditHeadView,
  exportAuditInput,
  exportAuditOutput,
  exportView,
  listAuditInput,
  listAuditOutput,
  verdictView,
  verifyAuditInput,
  verifyAuditOutput,
} from '../schemas/audit.ts';
import { pageRequest } from '../schemas/common.ts';
import { procedure, router } from './trpc.ts';

/** Who did what, and whether somebody changed the record of it. */
export function auditRouter({ audit }: Pick<ApiDeps, 'audit'>) {
  return router({
    list: procedure
      .input(listAuditInput)
      .output(listAuditOutput)
      .query(async ({ input }) => {
        const page = await audit.list(input.filter, pageRequest(input));
        return { entries: page.items.map(auditEntryView), nextPageToken: page.nextToken };
      }),

    /** Looks at some blocks; goes on with the token until there is none. */
    verify: procedure
      .input(verifyAuditInput)
      .output(verifyAuditOutput)
      .query(async ({ input }) => verdictView(await audit.verify(input.pageToken))),

    /** Some lines of an export; goes on after the last block until there is none. */
    export: procedure
      .input(exportAuditInput)
      .output(exportAuditOutput)
      .query(({ input }) => exportView(audit, input.afterBlock)),

    /** The end of the chain, for a witness to keep. */
    head: procedure
      .input(auditHeadInput)
      .output(auditHeadOutput)
      .query(async () => auditHeadView(await audit.head())),
  });
}
