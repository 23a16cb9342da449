import { Result_Outcome as Outcome, type Result } from '#gen/viworks/agent/v1/command_pb.js';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * Whether a RESULT keeps the rules in its proto file, found out by hand: it is what agents say most, and the validator
 * of all messages takes, and allocates, many times as much. True only of what is valid; of what is not, and of some
 * that is unusual, the validator has the last word, and the words.
 */
export function isPlainResult({ executionId, attempt, outcome, signal, failure }: Result): boolean {
  return (
    uuid.test(executionId) &&
    attempt >= 1 &&
    outcome >= Outcome.SUCCEEDED &&
    outcome <= Outcome.UNKNOWN &&
    // In UTF-16 units, of which a text has at least as many as it has characters.
    signal.length <= 16 &&
    (failure === undefined || (failure.code.length <= 64 && failure.message.length <= 4096))
  );
}
