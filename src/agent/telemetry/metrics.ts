import { ViworksError } from '../../errors.ts';
import { isMeasure, wireLimits } from '../../protocol/limits.ts';

/** Custom metrics: numbers by name, which travel in every sample until they are taken off. */

/** What a name may be. */
export const metricPattern = /^[a-z][a-z0-9_.]{0,63}$/;

/** As many as a sample may have. */
export const maximumMetrics = 256;

/** Asked for each sample. */
export type MetricSource = () => Promise<ReadonlyMap<string, number>>;

export interface Metrics {
  /** From now on, until it is set again or removed. @throws invalid_request */
  set(name: string, value: number): void;
  /** Asked for each sample; what throws, or answers what is no finite number, is left out of that one. */
  measure(name: string, read: () => number | Promise<number>): void;
  remove(name: string): void;
  readonly source: MetricSource;
}

/** What is not there in this time is left out of the sample. */
const measureMs = 2_000;

export function createMetrics(): Metrics {
  const metrics = new Map<string, () => number | Promise<number>>();

  function put(name: string, read: () => number | Promise<number>): void {
    if (!metricPattern.test(name)) {
      const problem = 'must be 1 to 64 of a-z 0-9 _ . and begin with a letter';
      throw new ViworksError('invalid_request', `metric ${name}: ${problem}.`);
    }
    if (!metrics.has(name) && metrics.size >= maximumMetrics) {
      throw new ViworksError('invalid_request', `metric ${name}: there are ${maximumMetrics} already.`);
    }
    metrics.set(name, read);
  }
  return {
    set(name, value) {
      if (!isMeasure(value)) {
        const problem = `must be a number from -${wireLimits.measure} to ${wireLimits.measure}`;
        throw new ViworksError('invalid_request', `metric ${name}: ${problem}.`);
      }
      put(name, () => value);
    },
    measure: put,
    remove(name) {
      metrics.delete(name);
    },
    async source() {
      const found = await Promise.all(
        Array.from(metrics, async ([name, read]): Promise<[string, number]> => [name, await answerOf(read)]),
      );
      return new Map(found.filter(([, value]) => isMeasure(value)));
    },
  };
}

/** Not a number where there is none in time. */
async function answerOf(read: () => number | Promise<number>): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<number>((resolve) => {
    timer = setTimeout(resolve, measureMs, Number.NaN);
  });
  try {
    return await Promise.race([read(), late]);
  } catch {
    return Number.NaN;
  } finally {
    clearTimeout(timer);
  }
}
