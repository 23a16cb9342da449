import { StringDecoder } from 'node:string_decoder';
import type { ExecutionView } from '../api/schemas/executions.ts';
import type { OutputPieceView } from '../api/schemas/output.ts';
import { printable } from './terminal.ts';

/**
 * What programs write, as it comes: whole lines, each with its agent's name where there are several agents, and
 * never one inside another. Pieces that come again after a break are told by their offset.
 */
export interface LiveOutput {
  /** The lines that the piece completes, without their ends. */
  take(piece: OutputPieceView): string[];
  /** What is left of the last lines. @param attempt of the execution that ended */
  end(executionId: string): { stream: 'stdout' | 'stderr'; line: string }[];
  /** Something of the execution's last attempt was shown. */
  has(executionId: string): boolean;
}

interface Open {
  executionId: string;
  attempt: number;
  stream: 'stdout' | 'stderr';
  next: number;
  decoder: StringDecoder;
  rest: string;
}

/** A line that does not end is shown in parts. */
const longestLine = 16 * 1024;

/** All that the result holds, as pieces: what was not told while it ran came with the result alone. */
export function piecesOf({ executionId, agentId, attempt, result }: ExecutionView): OutputPieceView[] {
  return (['stdout', 'stderr'] as const).flatMap((stream) => {
    const kept = result?.[stream];
    if (kept === undefined) return [];
    const base64 = kept.base64 ?? Buffer.from(kept.text ?? '').toString('base64');
    return [{ executionId, agentId, attempt, stream, offset: 0, base64 }];
  });
}

export function createLiveOutput(): LiveOutput {
  const streams = new Map<string, Open>();

  function streamOf({ executionId, attempt, stream }: OutputPieceView): Open {
    const key = `${executionId}/${stream}`;
    const known = streams.get(key);
    if (known !== undefined && known.attempt >= attempt) return known;
    const fresh = { executionId, attempt, stream, next: 0, decoder: new StringDecoder('utf8'), rest: '' };
    streams.set(key, fresh);
    return fresh;
  }

  return {
    take(piece) {
      const open = streamOf(piece);
      const data = Buffer.from(piece.base64, 'base64');
      const end = piece.offset + data.byteLength;
      if (piece.attempt < open.attempt || end <= open.next) return [];
      const text = open.rest + open.decoder.write(data.subarray(Math.max(0, open.next - piece.offset)));
      open.next = end;
      const lines = text.split('\n');
      open.rest = lines.pop() ?? '';
      if (open.rest.length > longestLine) {
        lines.push(open.rest);
        open.rest = '';
      }
      return lines.map(printable);
    },
    end(executionId) {
      return [...streams.values()].flatMap((open) => {
        if (open.executionId !== executionId) return [];
        const line = open.rest + open.decoder.end();
        open.rest = '';
        return line === '' ? [] : [{ stream: open.stream, line: printable(line) }];
      });
    },
    has: (executionId) => streams.has(`${executionId}/stdout`) || streams.has(`${executionId}/stderr`),
  };
}
