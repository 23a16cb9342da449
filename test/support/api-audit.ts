import type { AuditTrail } from '../../src/audit/trail.ts';
import type { AuditEntry, AuditRecord, AuditService } from '../../src/audit/types.ts';
import { ViworksError } from '../../src/errors.ts';

type Trail = Pick<AuditTrail, 'during' | 'admitted' | 'refused'>;

/** An audit log in memory: what calls left in it can be read, and the chain over it is one block. */
export function memoryAudit(): { audit: AuditService; trail: Trail; left: AuditEntry[] } {
  const left: AuditEntry[] = [];
  const at = new Date('2030-01-01T00:00:00.000Z');
  const hash = new Uint8Array(32).fill(9);
  return {
    left,
    trail: {
      async during(call, work) {
        try {
          const result = await work();
          left.push({ ...call, outcome: 'done' });
          return result;
        } catch (error) {
          left.push({ ...call, outcome: 'refused', code: ViworksError.from(error).code });
          throw error;
        }
      },
      admitted: (caller, action) => void left.push({ ...caller, action, outcome: 'done' }),
      refused: (entry) => void left.push({ ...entry, outcome: 'refused' }),
    },
    audit: {
      async list({ action }, { size }) {
        const entries = left.filter((entry) => action === undefined || entry.action === action);
        return { items: entries.map(recordOf).reverse().slice(0, size), nextToken: undefined };
      },
      verify: async (token) => ({
        problem:
          token === undefined
            ? undefined
            : { kind: 'changed', block: 2, seq: 7, message: 'Entry 7 was changed.' },
        blocks: 1,
        entries: left.length,
        nextToken: token === undefined ? 'next' : undefined,
        block: 1,
        hash,
      }),
      export: async () => ({ blocks: [], more: false }),
      head: async () => ({
        block: 1,
        hash,
        sealedAt: at,
        keyId: 'key',
        publicKey: hash,
        pending: 2,
        oldestPending: at,
        checkpoint: undefined,
      }),
    },
  };

  function recordOf(entry: AuditEntry, index: number): AuditRecord {
    return {
      seq: index + 1,
      at,
      actor: entry.actor,
      role: entry.role ?? null,
      action: entry.action,
      resourceKind: entry.resourceKind ?? null,
      resourceId: entry.resourceId ?? null,
      outcome: entry.outcome,
      code: entry.code ?? null,
      count: 1,
      address: entry.address ?? null,
      userAgent: entry.userAgent ?? null,
      requestId: entry.requestId ?? null,
      correlationId: entry.correlationId ?? null,
      details: {},
    };
  }
}
