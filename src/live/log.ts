/**
 * What happened last, in order and numbered from 1; of more than its capacity the oldest is forgotten. Readers keep
 * their own place in it, the number that they read last, so that one who is slow costs nothing.
 */
export interface Log<T> {
  /** The newest number; 0 before the first. */
  readonly head: number;
  /** Answers with its number. */
  append(entry: T): number;
  /** Whether all that came after this place is still there. Of a place that was never reached, it is not. */
  reaches(place: number): boolean;
  /** Undefined where it is forgotten, or did not happen yet. */
  at(number: number): T | undefined;
}

export function createLog<T>(capacity: number): Log<T> {
  const ring: T[] = [];
  let head = 0;
  return {
    get head() {
      return head;
    },
    append(entry) {
      head += 1;
      ring[head % capacity] = entry;
      return head;
    },
    reaches: (place) => place <= head && place >= head - Math.min(head, capacity),
    at: (number) => (number > head || number <= head - capacity ? undefined : ring[number % capacity]),
  };
}
