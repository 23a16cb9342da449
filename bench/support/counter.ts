/** Counts what another process tells, and lets the benchmark wait for a number of them. */
export interface Counter {
  readonly total: number;
  add(count: number): void;
  /** Has everything that is added told to the listener too, in place of the one before; undefined takes it off. */
  onAdd(listener: ((count: number) => void) | undefined): void;
  /** Resolves when the total has come that far. */
  until(total: number): Promise<void>;
}

export function createCounter(): Counter {
  let total = 0;
  let listener: ((count: number) => void) | undefined;
  let waiting: { for: number; resolve(): void } | undefined;
  return {
    get total() {
      return total;
    },
    add(count) {
      total += count;
      listener?.(count);
      if (waiting !== undefined && total >= waiting.for) waiting.resolve();
    },
    onAdd(next) {
      listener = next;
    },
    async until(wanted) {
      if (total >= wanted) return;
      await new Promise<void>((resolve) => {
        waiting = { for: wanted, resolve };
      });
      waiting = undefined;
    },
  };
}
