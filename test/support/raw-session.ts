import { create, fromBinary } from '@bufbuild/protobuf';
import { onTestFinished } from 'vitest';
import { CommandBodySchema } from '#gen/viworks/agent/v1/command_pb.js';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { decodeBinary, encodeBinary } from '../../src/protocol/envelope.ts';
import { createFrameDecoder, joinFrames } from '../../src/protocol/frames.ts';
import type { Core } from './app-core.ts';
import { type ConnectOptions, type FakeAgent, proofOf, sayHello } from './fake-agent.ts';
import { openHttp2 } from './transport-raw.ts';

/** An open session of an agent, over which whatever bytes can be sent as messages. */
export interface RawSession {
  /** One message, in a frame of its own. */
  write(message: Uint8Array): void;
  /** Whether the server answers, or has ended it. */
  settled(): Promise<'open' | 'ended'>;
  /** From now on nothing is read. */
  stopReading(): void;
  read(): void;
  /** Ids of the first commands that came, in their order. */
  commands(count: number): Promise<string[]>;
  end(): void;
}

export async function openRawSession(
  core: Pick<Core, 'url'>,
  agent: FakeAgent,
  options: Pick<ConnectOptions, 'offer'> = {},
): Promise<RawSession> {
  const raw = openHttp2(core.url);
  onTestFinished(() => raw[Symbol.asyncDispose]());
  const stream = raw.open();
  const decoder = createFrameDecoder();
  const waiting = new Set<(message: Envelope | undefined) => void>();
  const commands: string[] = [];
  let ended = false;
  const tell = (message: Envelope | undefined) => {
    for (const wake of [...waiting]) wake(message);
  };
  stream.on('data', (chunk: Buffer) => {
    decoder.push(chunk);
    for (let next = decoder.next(); next !== undefined; next = decoder.next()) {
      if (next.flags !== 0) continue;
      const message = decodeBinary(next.payload);
      if (message.body.case === 'command') {
        commands.push(fromBinary(CommandBodySchema, message.body.value.body).commandId);
      }
      tell(message);
    }
  });
  stream.on('end', () => stream.end());
  stream.once('close', () => {
    ended = true;
    tell(undefined);
  });
  const write = (message: Uint8Array) => {
    if (!stream.destroyed && stream.writable) stream.write(joinFrames([message]));
  };
  const send: Parameters<typeof sayHello>[0]['send'] = (body, given = {}) => {
    write(encodeBinary(create(EnvelopeSchema, { ...given, body })));
    return 0n;
  };
  /** The first that is wanted; undefined when it has ended. */
  const wait = (wanted: (message: Envelope) => boolean) =>
    new Promise<Envelope | undefined>((resolve) => {
      if (ended) return resolve(undefined);
      const look = (message: Envelope | undefined) => {
        if (message !== undefined && !wanted(message)) return;
        waiting.delete(look);
        resolve(message);
      };
      waiting.add(look);
    });

  const challenged = wait(({ body }) => body.case === 'challenge');
  const hello = sayHello({ send }, agent, options);
  const challenge = await challenged;
  if (challenge?.body.case !== 'challenge') throw new Error('there was no CHALLENGE');
  const welcomed = wait(({ body }) => body.case === 'welcome');
  send({ case: 'proof', value: proofOf(agent.key, hello, challenge.body.value) }, { sequence: 0n });
  if ((await welcomed) === undefined) throw new Error('there was no WELCOME');
  return {
    write,
    async settled() {
      const answer = wait(({ body }) => body.case === 'heartbeat');
      send({ case: 'heartbeat', value: {} }, { sequence: 0n });
      return (await answer) === undefined ? 'ended' : 'open';
    },
    stopReading() {
      stream.pause();
    },
    read() {
      stream.resume();
    },
    async commands(count) {
      if (commands.length < count) await wait(() => commands.length >= count);
      return commands.slice(0, count);
    },
    end() {
      raw.session.destroy();
    },
  };
}
