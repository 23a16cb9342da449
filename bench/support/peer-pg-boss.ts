import { PgBoss } from 'pg-boss';
import { type Job, jobResult, type Peer, queueName } from './peer.ts';

/** Jobs in one fetch, and in one insert. */
const atOnce = 1000;
/** Seconds between two looks for jobs; the shortest that it takes. */
const pollingIntervalSeconds = 0.5;

/**
 * pg-boss with its own worker, in batches of a thousand. In a burst it fetches again at once as long as its batches
 * are full; otherwise it waits for its next look, as it does by default. A job counts when its function has returned,
 * which is a moment before its end is durable.
 */
export async function createPgBoss(connectionString: string, { burst }: { burst: boolean }): Promise<Peer> {
  const boss = new PgBoss({ connectionString, supervise: false, schedule: false });
  boss.on('error', () => {});
  await boss.start();
  await boss.createQueue(queueName);
  return {
    async add(jobs) {
      for (let at = 0; at < jobs.length; at += atOnce) {
        const batch = jobs.slice(at, at + atOnce).map((data) => ({ data }));
        await boss.insert(queueName, batch);
      }
    },
    async work(onDone) {
      const options = { batchSize: atOnce, pollingIntervalSeconds, burstWhenBatchFull: burst };
      await boss.work<Job>(queueName, options, async (jobs) => {
        for (const job of jobs) onDone(job.data);
        return jobResult;
      });
    },
    rest: () => boss.offWork(queueName, { wait: true }),
    close: () => boss.stop({ graceful: false }),
  };
}
