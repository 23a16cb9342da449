/** A job queue that others use, behind what the benchmark of commands asks of it. */
export interface Peer {
  /** Resolves when the jobs are durable, by the peer's own means of adding many. */
  add(jobs: readonly Job[]): Promise<void>;
  /** Works jobs off from now on; tells each when its end is durable. */
  work(onDone: (job: Job) => void): Promise<void>;
  /** Works nothing more off. */
  rest(): Promise<void>;
  close(): Promise<void>;
}

/** The same that a command of the benchmark carries. */
export interface Job {
  argv: [string, string];
}

/** What a job answers, where the peer keeps it. */
export const jobResult = { exitCode: 0, stdout: 'done\n', duration: '0.001s' };
export const queueName = 'bench';

export const peerNames = [
  'graphile-worker',
  'graphile-worker, batched',
  'pg-boss',
  'pg-boss, in bursts',
  'BullMQ',
] as const;
export type PeerName = (typeof peerNames)[number];
