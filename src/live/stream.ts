import { type Ear, passed } from './hint.ts';
import type { LiveEvent, SnapshotReason } from './types.ts';

/** What a stream is made of: what there is now, and what comes after a place. */
export interface Source<T, P> {
  /** The place that a cursor names, where it is one of this process. */
  placeOf(cursor: string | undefined): P | undefined;
  cursorAt(place: P): string;
  head(): P;
  isHead(place: P): boolean;
  /** Whether all that came after it is still known. */
  reaches(place: P): boolean;
  /** All that the reader sees now. */
  all(): readonly T[];
  /** What came after a place that is reached. */
  read(place: P): Piece<T, P>;
}

export interface Piece<T, P> {
  shown: readonly T[];
  gone: readonly string[];
  skipped: number;
  place: P;
}

export interface StreamRules {
  /** Things in one part of what there is now. */
  most: number;
  /** Milliseconds at least between two events. */
  intervalMs: number;
  /** Waited for before each look, so that many readers do not keep the process from all else. */
  turn(): Promise<void>;
  /** What is true now is told once more. */
  began(because: SnapshotReason): void;
}

/** The cursor of a part of a snapshot that is not the last: who breaks off there begins anew. */
const unfinished = 'begin';

/** Nothing is made before the reader asks for it, and nothing is kept for a reader but its place. */
export async function* streamOf<T, P>(
  source: Source<T, P>,
  cursor: string | undefined,
  rules: StreamRules,
  ear: Ear,
  signal: AbortSignal,
): AsyncGenerator<LiveEvent<T> & { skipped: number }> {
  let place = source.placeOf(cursor);
  let because: SnapshotReason = cursor === undefined ? 'start' : 'resume';
  for (;;) {
    await rules.turn();
    if (signal.aborted) return;
    ear.lower();
    if (place === undefined || !source.reaches(place)) {
      place = source.head();
      rules.began(because);
      for (const snapshot of partsOf(source.all(), rules.most, because)) {
        const { part, parts } = snapshot.snapshot;
        yield {
          ...snapshot,
          cursor: part === parts ? source.cursorAt(place) : unfinished,
          gone: [],
          skipped: 0,
        };
        if (signal.aborted) return;
      }
    } else {
      const { shown, gone, skipped, place: next }: Piece<T, P> = source.read(place);
      place = next;
      if (shown.length + gone.length > 0) {
        yield { cursor: source.cursorAt(place), snapshot: undefined, shown, gone, skipped };
        if (rules.intervalMs > 0) await passed(rules.intervalMs, signal);
      } else if (source.isHead(place)) await ear.heard();
    }
    because = 'behind';
  }
}

/** At least one, so that nothing at all is told too. */
function* partsOf<T>(items: readonly T[], most: number, because: SnapshotReason) {
  const parts = Math.max(1, Math.ceil(items.length / most));
  for (let part = 1; part <= parts; part++) {
    yield { snapshot: { part, parts, because }, shown: items.slice((part - 1) * most, part * most) };
  }
}
