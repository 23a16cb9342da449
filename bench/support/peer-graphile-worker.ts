import { EventEmitter } from 'node:events';
import { Logger, makeWorkerUtils, type Runner, run } from 'graphile-worker';
import { type Job, type Peer, queueName } from './peer.ts';

/**
 * graphile-worker: as its documentation sets it up, with ten jobs at once; and batched, as its page on performance
 * recommends: a local queue, and completions that wait a little for each other.
 */
export async function createGraphileWorker(
  connectionString: string,
  { batched }: { batched: boolean },
): Promise<Peer> {
  const logger = new Logger(() => () => {});
  const utils = await makeWorkerUtils({ connectionString, logger });
  await utils.migrate();
  let runner: Runner | undefined;
  return {
    async add(jobs) {
      if (batched || jobs.length === 1) {
        await utils.addJobs(jobs.map((payload) => ({ identifier: queueName, payload })));
        return;
      }
      await Promise.all(jobs.map((payload) => utils.addJob(queueName, payload)));
    },
    async work(onDone) {
      const events = new EventEmitter();
      // Emitted when the end of the job is in the database.
      events.on('job:complete', ({ job }: { job: { payload: Job } }) => onDone(job.payload));
      runner = await run({
        connectionString,
        logger,
        events,
        noHandleSignals: true,
        taskList: { [queueName]: async () => {} },
        concurrency: batched ? 24 : 10,
        pollInterval: 500,
        ...(batched
          ? {
              preset: {
                worker: {
                  maxPoolSize: 10,
                  localQueue: { size: 500 },
                  completeJobBatchDelay: 0,
                  failJobBatchDelay: 0,
                },
              },
            }
          : {}),
      });
    },
    async rest() {
      await runner?.stop();
      runner = undefined;
    },
    async close() {
      await runner?.stop();
      await utils.release();
    },
  };
}
