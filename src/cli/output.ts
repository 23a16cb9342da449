import type { Command } from 'commander';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';

/** `viworks commands output`: exactly the bytes that an execution wrote, to stdout. */

interface OutputOptions extends ClientOptions {
  stderr?: boolean;
}

const bytesAtOnce = 256 * 1024;

export function outputCommand(commands: Command, context: CliContext): void {
  withClientOptions(
    commands
      .command('output <execution-id>')
      .description('Print what an execution wrote so far, byte by byte.')
      .option('--stderr', 'what it wrote to stderr'),
  ).action((executionId: string, options: OutputOptions) => output(context, options, executionId));
}

async function output(context: CliContext, options: OutputOptions, executionId: string): Promise<void> {
  const { terminal } = context;
  const client = clientOf(context, options);
  const stream = options.stderr ? 'stderr' : 'stdout';
  for (let offset = 0; ; ) {
    const range = await client.commands.output.query({ executionId, stream, offset, limit: bytesAtOnce });
    const data = Buffer.from(range.base64, 'base64');
    offset += data.byteLength;
    if (options.json) terminal.json({ executionId, stream, ...range });
    else terminal.bytes(data);
    if (data.byteLength > 0) continue;
    const { totalBytes = offset } = range;
    if (totalBytes > offset) terminal.note(`… cut off, ${totalBytes} bytes in all`);
    return;
  }
}
