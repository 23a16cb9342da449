import { hash, timingSafeEqual } from 'node:crypto';
import type { BoundExecution, ExecutionBinding } from '../storage/bound-rows.ts';
import { commandSecretBox } from './secret-box.ts';

/** HMAC-SHA-256 (RFC 2104), its first 16 bytes. */
const bindingBytes = 16;
const kinds = { execution: 0, unapproved: 1, attempt: 2 };
const blockBytes = 64;
const digestBytes = 32;
/** Longer args go in as their hash: a command for many agents has the same ones. */
const inlineArgs = 256;
/** Room for all that is bounded by the API: ids, an actor, a verb, args or their hash. */
const scratchBytes = 4096;

/** @param secret the command secret */
export function createCommandBinding(secret: Uint8Array): ExecutionBinding {
  const key = commandSecretBox(secret).keyFor('binding');
  const inner = padded(key, 0x36, scratchBytes);
  const outer = padded(key, 0x5c, blockBytes + digestBytes);
  const digests = new WeakMap<Uint8Array, Uint8Array>();

  function digestOf(args: Uint8Array): Uint8Array {
    const known = digests.get(args);
    if (known !== undefined) return known;
    const digest = hash('sha256', args, 'buffer');
    digests.set(args, digest);
    return digest;
  }

  let at = 0;
  /** With its length in front, so that none runs into the next. */
  function text(value: string): void {
    const length = inner.write(value, at + 2, 'utf8');
    inner.writeUInt16BE(length, at);
    at += 2 + length;
  }

  /** What is bound begins with one byte that says what it is. */
  function write(execution: BoundExecution): void {
    inner[blockBytes] = execution.unapproved ? kinds.unapproved : kinds.execution;
    at = blockBytes + 1;
    text(execution.commandId);
    text(execution.executionId);
    text(execution.agentId);
    text(execution.verb);
    text(execution.actor);
    at = inner.writeInt32BE(execution.incarnation, at);
    at = inner.writeInt32BE(execution.maxRetries, at);
    at = inner.writeDoubleBE(execution.timeoutMs, at);
    at = inner.writeDoubleBE(Number(execution.expiresAt), at);
    const { argsBytes } = execution;
    const short = argsBytes.byteLength <= inlineArgs;
    at = inner.writeUInt32BE(argsBytes.byteLength, at);
    const args = short ? argsBytes : digestOf(argsBytes);
    inner.set(args, at);
    at += args.byteLength;
  }

  function code(): string {
    // By way of text: Node makes a string of a hash sooner than it makes a buffer.
    outer.write(hash('sha256', inner.subarray(0, at), 'binary'), blockBytes, 'binary');
    return hash('sha256', outer, 'hex').slice(0, 2 * bindingBytes);
  }

  function bind(execution: BoundExecution): string {
    write(execution);
    return code();
  }

  function bindAttempt(executionId: string, attempt: number): string {
    inner[blockBytes] = kinds.attempt;
    at = blockBytes + 1;
    text(executionId);
    at = inner.writeInt32BE(attempt, at);
    return code();
  }

  return {
    bind,
    bindAttempt,
    holdsAttempt: (executionId, attempt, binding) =>
      binding?.byteLength === bindingBytes && isCode(bindAttempt(executionId, attempt), binding),
    holds(execution, binding) {
      if (binding === null || binding.byteLength !== bindingBytes || !isPlausible(execution)) return false;
      return isCode(bind(execution), binding);
    },
  };
}

const isCode = (code: string, binding: Uint8Array): boolean =>
  timingSafeEqual(Buffer.from(code, 'hex'), binding);

/** A row that somebody wrote may be of any size, and no submit made one that does not fit. */
const isPlausible = ({ commandId, executionId, agentId, verb, actor }: BoundExecution): boolean =>
  commandId.length + executionId.length + agentId.length + verb.length + actor.length <
  scratchBytes / 4 - 200;

/** A buffer that begins with the block of the key. */
function padded(key: Uint8Array, pad: number, size: number): Buffer {
  const buffer = Buffer.alloc(size);
  buffer.fill(pad, 0, blockBytes);
  for (const [at, byte] of key.entries()) buffer[at] = byte ^ pad;
  return buffer;
}
