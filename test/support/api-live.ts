import type { LiveService } from '../../src/live/types.ts';
import { firingAlert } from './api-alerts.ts';
import { agentNamed } from './api-ports.ts';

/** Live streams of a core in memory: how things are, and an end that real ones do not have. */

const then = new Date('2030-01-01T00:00:00.000Z');

export const liveSample = {
  headline: {
    agentId: 'alpha',
    at: then,
    receivedAt: then,
    bootId: new Uint8Array(16),
    number: 7,
    late: false,
    skewed: false,
    cpu: 12.5,
    memory: 40,
    swap: null,
    disk: 91.5,
    load: 0.5,
    received: 1000,
    sent: null,
  },
  sample: { number: '7' },
};

export interface MemoryLive extends LiveService {
  /** What was asked for. */
  asked: { caller: string; request: object }[];
}

export function memoryLive(): MemoryLive {
  const asked: MemoryLive['asked'] = [];
  const snapshot = { part: 1, parts: 1, because: 'start' } as const;
  const frame = { cursor: 'here', snapshot, gone: ['beta'] };
  return {
    asked,
    async *telemetry({ subject }, request) {
      asked.push({ caller: subject, request });
      yield { ...frame, shown: [liveSample], skipped: 3 };
    },
    async *agents({ subject }, request) {
      asked.push({ caller: subject, request });
      yield { ...frame, shown: [agentNamed('alpha')] };
    },
    async *alerts({ subject }, request) {
      asked.push({ caller: subject, request });
      yield { ...frame, shown: [firingAlert] };
    },
  };
}
