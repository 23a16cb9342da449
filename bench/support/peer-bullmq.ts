import { Queue, Worker } from 'bullmq';
import { type Job, jobResult, type Peer, queueName } from './peer.ts';

/** BullMQ, jobs added in bulk and worked off a hundred at once. How durable it is depends on its Redis. */
export async function createBullmq(redisUrl: string): Promise<Peer> {
  const { hostname: host, port } = new URL(redisUrl);
  const connection = { host, port: Number(port), maxRetriesPerRequest: null };
  const queue = new Queue(queueName, { connection });
  await queue.waitUntilReady();
  let worker: Worker | undefined;
  const rest = async () => {
    await worker?.close();
    worker = undefined;
  };
  return {
    async add(jobs) {
      await queue.addBulk(jobs.map((data) => ({ name: queueName, data, opts: { removeOnComplete: true } })));
    },
    async work(onDone) {
      worker = new Worker<Job>(queueName, async () => jobResult, { connection, concurrency: 100 });
      worker.on('completed', (job) => onDone(job.data));
      await worker.waitUntilReady();
    },
    rest,
    async close() {
      await rest();
      await queue.close();
    },
  };
}
