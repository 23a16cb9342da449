import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { FileReadArgsSchema, FileReadResultSchema } from '#gen/viworks/verbs/v1/system_pb.js';
import { defineExecutor, type Executor } from './executor.ts';

const defaultLimit = 64 * 1024;

/** file.read: a part of a regular file. */
export function fileReadExecutor(): Executor {
  return defineExecutor(FileReadArgsSchema, FileReadResultSchema, async (args, context) => {
    // Without O_NONBLOCK opening a pipe that nobody writes to would wait for ever.
    const handle = await open(args.path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      const facts = await handle.stat();
      if (!facts.isFile())
        return { failure: { code: 'not_regular', message: `${args.path} is not a regular file.` } };
      context.signal.throwIfAborted();
      const limit = args.limit === 0 ? defaultLimit : args.limit;
      const offset = Number(args.offset);
      const data = await readUpTo(handle, offset, limit);
      const output = create(FileReadResultSchema, {
        data,
        sizeBytes: BigInt(facts.size),
        modifiedAt: timestampFromMs(Math.trunc(facts.mtimeMs)),
        mode: facts.mode & 0o7777,
        // Files of /proc say that they are empty: there, a full read is the only sign that there is more.
        truncated: facts.size === 0 ? data.byteLength === limit : offset + data.byteLength < facts.size,
      });
      return { output };
    } finally {
      await handle.close();
    }
  });
}

async function readUpTo(handle: import('node:fs/promises').FileHandle, offset: number, limit: number) {
  const buffer = new Uint8Array(limit);
  let filled = 0;
  while (filled < limit) {
    const { bytesRead } = await handle.read(buffer, filled, limit - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}
