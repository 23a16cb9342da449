import { PgBoss } from 'pg-boss';
import { type Job, jobResult, type Peer, queueName } from './peer.ts';

/** Jobs in one fetch, and in one insert. */
const atOnce = 1000;

/** pg-boss in batches of a thousand, fetched and completed by hand, which is its fastest way. */
export async function createPgBoss(connectionString: string): Promise<Peer> {
  const boss = new PgBoss({ connectionString, supervise: false, schedule: false });
  boss.on('error', () => {});
  await boss.start();
  await boss.createQueue(queueName);
  let working: Promise<void> | undefined;
  let resting = false;

  async function workOff(onDone: (job: Job) => void): Promise<void> {
    while (!resting) {
      const jobs = await boss.fetch<Job>(queueName, { batchSize: atOnce });
      if (jobs.length === 0) {
        // Without a notification it has to ask again; this is far more often than its worker would.
        await new Promise((resolve) => setTimeout(resolve, 5));
        continue;
      }
      await boss.complete(
        queueName,
        jobs.map((job) => job.id),
        jobResult,
      );
      for (const job of jobs) onDone(job.data);
    }
  }
  return {
    async add(jobs) {
      for (let at = 0; at < jobs.length; at += atOnce) {
        await boss.insert(
          queueName,
          jobs.slice(at, at + atOnce).map((data) => ({ data })),
        );
      }
    },
    async work(onDone) {
      resting = false;
      working = workOff(onDone);
    },
    async rest() {
      resting = true;
      await working;
    },
    async close() {
      resting = true;
      await working;
      await boss.stop({ graceful: false });
    },
  };
}
