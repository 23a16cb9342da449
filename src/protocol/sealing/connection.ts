import { create } from '@bufbuild/protobuf';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { SealedSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { ViworksError } from '../../errors.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Connection } from '../connection.ts';
import { encodeBinary } from '../envelope.ts';
import { wireLimits } from '../limits.ts';
import { contentOverhead, envelopesOfFrame, readContent, writeContent } from './content.ts';
import { createLane } from './lane.ts';
import { type Ephemeral, newEphemeral, publicKeyBytes } from './primitives.ts';
import type { Role, SessionSecrets } from './secrets.ts';

/**
 * A connection on top of another one that carries nothing but sealed envelopes, for either end and over any
 * transport. Envelopes of one tick share a frame.
 */
export interface SealedConnection extends Connection {
  /** Takes what came over the connection below. @throws seal_broken, protocol_violation, message_too_large */
  receive(message: Envelope): void;
  /** The session has its name: after WELCOME was sent, or while it is received. */
  bind(sessionId: string, epoch: bigint): void;
}

/** When keys are changed. */
export interface SealingLimits {
  /** Milliseconds that a key is used. */
  keyLifetimeMs: number;
  /** Frames that a key encrypts. */
  keyFrames: number;
  /** Milliseconds between agreements on wholly new keys. */
  agreementMs: number;
}

export const sealingLimits: SealingLimits = {
  keyLifetimeMs: 120_000,
  keyFrames: 2 ** 20,
  agreementMs: 3_600_000,
};

export interface SealingOptions {
  /** Which end this is. */
  role: Role;
  /** Taken over: its chains are wiped as the session goes on. */
  secrets: SessionSecrets;
  clock: Pick<Clock, 'monotonic'>;
  limits?: SealingLimits | undefined;
  /** Takes the envelopes that were in the frames; not while paused, nor after the end. */
  deliver(message: Envelope): void;
}

/** More than this does not join a frame, so that what it waits for is not much. */
const batchBytes = 64 * 1024;
/** What a frame has beside its content: the tag, the fields of Sealed and of Envelope, a key. */
const frameOverhead = 256;
/** Milliseconds that an agreement may be late: the agent begins it with whatever it sends next. */
const graceMs = 3_600_000;
/** A peer may be this many times over the frames of a key before that ends the session. */
const frameGrace = 2;

/** Bytes of one envelope in a sealed session; JSON carries ciphertext as base64. */
export function sealedEnvelopeBytes(encoding: 'binary' | 'json'): number {
  const frame =
    encoding === 'binary' ? wireLimits.messageBytes : Math.floor((wireLimits.messageBytes * 3) / 4);
  return frame - frameOverhead;
}

export function sealConnection(below: Connection, options: SealingOptions): SealedConnection {
  const { role, secrets, clock, deliver, limits = sealingLimits } = options;
  const outward = createLane(role, secrets.chains[role]);
  const peer: Role = role === 'agent' ? 'server' : 'agent';
  const inward = createLane(peer, secrets.chains[peer]);
  const largest = sealedEnvelopeBytes(below.peer.encoding);
  let bound = false;
  let ended = false;
  let paused = false;
  let steppedAt = clock.monotonic();
  let agreedAt = steppedAt;
  /** Agent: the agreement that waits for the server's key. */
  let asked: Ephemeral | undefined;
  /** What the peer’s next key is made of, where both have agreed anew. */
  let inwardShared: Uint8Array | undefined;
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  let held: Envelope[] = [];

  function flush(): void {
    if (ended || pending.length === 0) return;
    const envelopes = pending;
    pending = [];
    pendingBytes = 0;
    const now = clock.monotonic();
    // A key that has encrypted nothing yet stays: the peer takes one step at a frame.
    const worn = outward.frames >= limits.keyFrames || now - steppedAt >= limits.keyLifetimeMs;
    if (worn && outward.frames > 0 && asked === undefined) step(undefined, now);
    if (role === 'agent' && bound && asked === undefined && now - agreedAt >= limits.agreementMs) {
      asked = newEphemeral();
      sendFrame(envelopes, asked.publicKey);
    } else sendFrame(envelopes, undefined);
  }

  function sendFrame(envelopes: readonly Uint8Array[], ephemeralKey: Uint8Array | undefined): void {
    const value = create(SealedSchema, outward.seal(writeContent(envelopes, ephemeralKey)));
    below.send(create(EnvelopeSchema, { body: { case: 'sealed', value } }));
  }

  function step(shared: Uint8Array | undefined, now: number): void {
    outward.step(shared);
    steppedAt = now;
  }

  /** The peer's half of a fresh agreement. */
  function agree(peerKey: Uint8Array): void {
    const now = clock.monotonic();
    if (role === 'server') {
      if (inwardShared !== undefined) throw violation('an agreement is under way already');
      const own = newEphemeral();
      const shared = own.agree(peerKey);
      // What waits leaves with the answer; everything after it is under the new key.
      const envelopes = pending;
      pending = [];
      pendingBytes = 0;
      sendFrame(envelopes, own.publicKey);
      step(shared, now);
      inwardShared = shared;
    } else {
      if (asked === undefined) throw violation('nobody asked for an agreement');
      const shared = asked.agree(peerKey);
      asked = undefined;
      step(shared, now);
      inwardShared = shared;
    }
    agreedAt = now;
  }

  function open(message: Envelope): Uint8Array {
    const { body } = message;
    if (body.case !== 'sealed') {
      throw new ViworksError('protocol_violation', 'This session is sealed, and an open envelope came.');
    }
    if (body.value.keyGeneration === inward.generation + 1) {
      inward.step(inwardShared);
      inwardShared = undefined;
    }
    if (inward.frames >= sealingLimits.keyFrames * frameGrace)
      throw violation('the key was used for too long');
    if (clock.monotonic() - agreedAt > sealingLimits.agreementMs + graceMs)
      throw violation('the keys are too old');
    return inward.open(body.value);
  }

  function deliverHeld(): void {
    while (!ended && !paused) {
      const message = held.shift();
      if (message === undefined) return;
      deliver(message);
    }
  }

  return {
    peer: below.peer,
    receive(message) {
      if (ended) return;
      const first = !bound;
      const { envelopes, ephemeralKey } = readContent(open(message));
      if (first && (envelopes.length !== 1 || ephemeralKey !== undefined)) {
        throw violation('WELCOME comes alone');
      }
      if (ephemeralKey !== undefined) {
        if (ephemeralKey.byteLength !== publicKeyBytes) throw violation('ephemeral_key must have 32 bytes');
        agree(ephemeralKey);
      }
      held = held.length === 0 ? envelopes : held.concat(envelopes);
      deliverHeld();
    },
    bind(sessionId, epoch) {
      flush();
      bound = true;
      outward.bind(sessionId, epoch);
      inward.bind(sessionId, epoch);
    },
    send(envelope) {
      if (ended) return;
      const bytes = encodeBinary(envelope);
      if (bytes.byteLength > largest) {
        const text = `A message of ${bytes.byteLength} bytes is over the limit of ${largest} bytes.`;
        throw new ViworksError('message_too_large', text);
      }
      if (pendingBytes + bytes.byteLength > batchBytes || pending.length === envelopesOfFrame) flush();
      if (pending.length === 0) queueMicrotask(flush);
      pending.push(bytes);
      pendingBytes += bytes.byteLength + contentOverhead;
    },
    get bufferedBytes() {
      return below.bufferedBytes + pendingBytes;
    },
    get receivedBytes() {
      return below.receivedBytes;
    },
    pause() {
      paused = true;
      below.pause();
    },
    resume() {
      if (!paused) return;
      paused = false;
      deliverHeld();
      if (!paused) below.resume();
    },
    close(error) {
      flush();
      ended = true;
      held = [];
      // What the transport says of the end is open to everybody on the way: the code has to be enough.
      below.close(error === undefined ? undefined : new ViworksError(error.code, 'The session has ended.'));
    },
    destroy() {
      ended = true;
      pending = [];
      held = [];
      below.destroy();
    },
  };
}

const violation = (what: string) => new ViworksError('protocol_violation', `sealed: ${what}.`);
