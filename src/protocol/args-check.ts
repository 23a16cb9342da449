import { isMessage, type Message } from '@bufbuild/protobuf';
import { type ExecArgs, ExecArgsSchema } from '#gen/viworks/verbs/v1/system_pb.js';

/**
 * Whether args keep the rules in their proto file, found out by hand for the verb that is asked for most, as isPlainResult
 * does for a RESULT. True only of what is valid; of all else the validator has the last word, and the words.
 */
export const isPlainArgs = (args: Message): boolean => isMessage(args, ExecArgsSchema) && isPlainExec(args);

function isPlainExec({ argv, workingDirectory, environment }: ExecArgs): boolean {
  if (argv.length === 0 || argv.length > 1024 || argv[0] === '') return false;
  // In UTF-16 units, of which a text has at least as many as it has characters.
  for (const arg of argv) if (arg.length > 131_072) return false;
  if (workingDirectory !== '' && !(workingDirectory.startsWith('/') && workingDirectory.length <= 4096))
    return false;
  for (const _ in environment) return false;
  return true;
}
