import { answerCalls } from './support/child.ts';
import { clockMs } from './support/clock.ts';
import { createPace } from './support/load.ts';
import type { Job, Peer, PeerName } from './support/peer.ts';
import { createBullmq } from './support/peer-bullmq.ts';
import { createGraphileWorker } from './support/peer-graphile-worker.ts';
import { createPgBoss } from './support/peer-pg-boss.ts';

/** A peer in a process of its own, as its application would run it: jobs are added and worked off here. */

export type PeerCalls = {
  start(input: { name: PeerName; databaseUrl: string; redisUrl: string }): Promise<void>;
  /** Adds so many jobs; answers with the milliseconds until all are durable. */
  add(input: { count: number }): Promise<number>;
  /** Works off so many jobs that were added; answers with the milliseconds until all are done. */
  execute(input: { count: number }): Promise<number>;
  /** Adds so many in a second and works them off; milliseconds from the call of add to the end of each. */
  pace(input: { perSecond: number; ms: number }): Promise<number[]>;
};

const creators: Record<PeerName, (urls: { databaseUrl: string; redisUrl: string }) => Promise<Peer>> = {
  'graphile-worker': ({ databaseUrl }) => createGraphileWorker(databaseUrl, { batched: false }),
  'graphile-worker, batched': ({ databaseUrl }) => createGraphileWorker(databaseUrl, { batched: true }),
  'pg-boss': ({ databaseUrl }) => createPgBoss(databaseUrl, { burst: false }),
  'pg-boss, in bursts': ({ databaseUrl }) => createPgBoss(databaseUrl, { burst: true }),
  BullMQ: ({ redisUrl }) => createBullmq(redisUrl),
};

/** Jobs in one call of add, and calls under way at once. */
const jobsInCall = 1000;
const callsAtOnce = 2;

let peer: Peer | undefined;

function thePeer(): Peer {
  if (peer === undefined) throw new Error('the peer is not started');
  return peer;
}

const newJob = (): Job => ({ argv: ['bench', String(clockMs())] });

const calls: PeerCalls = {
  async start({ name, ...urls }) {
    peer = await creators[name](urls);
  },

  async add({ count }) {
    const begun = performance.now();
    let left = count;
    const adder = async () => {
      while (left > 0) {
        const size = Math.min(left, jobsInCall);
        left -= size;
        await thePeer().add(Array.from({ length: size }, newJob));
      }
    };
    await Promise.all(Array.from({ length: callsAtOnce }, adder));
    return performance.now() - begun;
  },

  async execute({ count }) {
    const done = Promise.withResolvers<void>();
    let left = count;
    const begun = performance.now();
    await thePeer().work(() => {
      left -= 1;
      if (left === 0) done.resolve();
    });
    await done.promise;
    const took = performance.now() - begun;
    await thePeer().rest();
    return took;
  },

  async pace({ perSecond, ms }) {
    const times: number[] = [];
    let wake: (() => void) | undefined;
    await thePeer().work((job) => {
      times.push(clockMs() - Number(job.argv[1]));
      wake?.();
    });
    // Those of one tick go in one call, as an application under load would do it.
    let tick: Job[] = [];
    let sending: Promise<void> | undefined;
    const send = async () => {
      await undefined;
      const jobs = tick;
      tick = [];
      sending = undefined;
      await thePeer().add(jobs);
    };
    const load = createPace(perSecond, () => {
      tick.push(newJob());
      sending ??= send();
      return sending;
    });
    await load.start();
    await new Promise((resolve) => setTimeout(resolve, ms));
    const submitted = await load.stop();
    while (times.length < submitted) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    await thePeer().rest();
    return times;
  },
};

answerCalls(calls, {}, async () => {
  await peer?.close();
  process.exit();
});
