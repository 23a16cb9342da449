import type { KeyObject } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { durationFromMs, durationMs } from '@bufbuild/protobuf/wkt';
import { z } from 'zod';
import {
  type EnrollRequest,
  EnrollRequestSchema,
  type EnrollResponse,
  type RequestEnrollmentRequest,
  RequestEnrollmentRequestSchema,
  type RequestEnrollmentResponse,
} from '#gen/viworks/agent/v1/agent_service_pb.js';
import { ViworksError } from '../errors.ts';
import { backoffDelay } from '../lib/backoff.ts';
import { newTlsKey, writeRequest } from '../protocol/certificates/x509.ts';
import { timestampMs } from '../protocol/envelope.ts';
import { generateKeyPair, type KeyPair, keyPairFromPem, keyPairToPem, signBytes } from '../protocol/keys.ts';
import { certificateRequestInput, enrollInput, enrollRequestInput } from '../protocol/signed.ts';
import { assertValid } from '../protocol/validation.ts';
import { readIfThere, writeDurably } from './files.ts';
import { storeEnrolledTls } from './tls-store.ts';

/**
 * Who an agent is: the name and the incarnation that enrolment gave it, its key pair, and the server's keys
 * that it believes. It lives in the agent's data folder; the private key is made there and never leaves.
 */
export interface AgentIdentity {
  agentId: string;
  /** Counts the enrolments of this name. */
  incarnation: number;
  site: string;
  key: KeyPair;
  /** The only keys whose CHALLENGE is believed. */
  serverKeys: readonly ServerKey[];
}

export interface ServerKey {
  keyId: string;
  publicKey: Uint8Array;
  /** Milliseconds since 1970; undefined: until it is withdrawn. */
  notAfter: number | undefined;
}

const storedIdentity = z.object({
  agentId: z.string(),
  incarnation: z.number().int().positive(),
  site: z.string(),
  keyId: z.string(),
  serverKeys: z.array(
    z.object({ keyId: z.string(), publicKey: z.string(), notAfter: z.number().optional() }),
  ),
});

const identityFile = (dir: string) => join(dir, 'identity.json');
export const keyFile = (dir: string): string => join(dir, 'agent.key');
/** The key that is to take its place, see key-ring.ts. */
export const nextKeyFile = (dir: string): string => join(dir, 'agent.key.next');
/** Where the agent's ledger lies in its data folder. */
export const ledgerFile = (dir: string): string => join(dir, 'ledger.jsonl');

/** Whether the folder holds an identity. */
export async function enrolled(dir: string): Promise<boolean> {
  return (await readIfThere(identityFile(dir))) !== undefined;
}

/** @throws config_invalid where the folder holds none, or one that is damaged */
export async function loadIdentity(dir: string): Promise<AgentIdentity> {
  const [text, pem] = await Promise.all([readIfThere(identityFile(dir)), readIfThere(keyFile(dir))]);
  if (text === undefined || pem === undefined)
    throw new ViworksError('config_invalid', `${dir} holds no agent identity; enrol the agent first.`);
  try {
    const stored = storedIdentity.parse(JSON.parse(text));
    const key = await keyNamed(dir, stored.keyId, pem);
    return {
      agentId: stored.agentId,
      incarnation: stored.incarnation,
      site: stored.site,
      key,
      serverKeys: stored.serverKeys.map((server) => ({
        keyId: server.keyId,
        publicKey: new Uint8Array(Buffer.from(server.publicKey, 'base64')),
        notAfter: server.notAfter,
      })),
    };
  } catch (cause) {
    throw new ViworksError('config_invalid', `The agent identity in ${dir} is damaged.`, { cause });
  }
}

export interface Enrollment {
  token: string;
  agentId: string;
  labels?: Record<string, string>;
}

/**
 * Makes the key, asks for an identity and stores it. The key is stored before the request, so that a crash in
 * between repeats the request with the same key instead of leaving an identity that nobody holds.
 * @param call hands the request to the server
 * @throws what the call throws, invalid_request
 */
export async function enrollIdentity(
  dir: string,
  enrollment: Enrollment,
  call: (request: EnrollRequest) => Promise<EnrollResponse>,
): Promise<AgentIdentity> {
  const key = await ownKey(dir);
  const { token, agentId } = enrollment;
  const tls = certificateWish(key, agentId);
  const request = create(EnrollRequestSchema, {
    token,
    agentId,
    publicKey: key.publicKey,
    signature: signBytes(key, enrollInput(token, agentId, key.publicKey)),
    labels: enrollment.labels ?? {},
    ...tls.fields,
  });
  assertValid(EnrollRequestSchema, request);
  const response = await call(request);
  return keepIdentity(dir, key, response, tls.key);
}

export interface EnrollmentWish {
  agentId: string;
  labels?: Record<string, string>;
  hostname?: string;
}

/** What an agent that asks for an identity needs beside the request. */
export interface AskingDeps {
  /** Hands the request to the server, which may take its time. */
  call(request: RequestEnrollmentRequest): Promise<RequestEnrollmentResponse>;
  /** Told once that an operator has to decide. */
  onPending(keyId: string): void;
  /** Told of each failure that is tried again. */
  onRetry(error: ViworksError, delayMs: number): void;
  /** Rejects when the agent is to stop. */
  sleep(ms: number): Promise<void>;
}

/** Milliseconds that the server is asked to wait for the decision. */
const waitMs = 20_000;
const askingBackoff = { baseMs: 1000, maximumMs: 60_000 };

/**
 * Asks an operator for an identity until it is decided, however often the server or the network is away. The key is
 * stored first, so that an agent that starts again goes on asking with the same one.
 * @throws enrollment_refused where the operator refuses, and whatever makes no sense to repeat
 */
export async function askForIdentity(
  dir: string,
  { agentId, labels = {}, hostname = '' }: EnrollmentWish,
  deps: AskingDeps,
): Promise<AgentIdentity> {
  const key = await ownKey(dir);
  const signature = signBytes(key, enrollRequestInput(agentId, key.publicKey));
  const tls = certificateWish(key, agentId);
  const fields = { agentId, publicKey: key.publicKey, signature, labels, hostname, ...tls.fields };
  const request = create(RequestEnrollmentRequestSchema, fields);
  assertValid(RequestEnrollmentRequestSchema, request);
  let failures = 0;
  let told = false;
  for (;;) {
    try {
      const { state } = await deps.call(request);
      failures = 0;
      // Only the first answer comes at once, so that the fingerprint is shown while somebody looks.
      request.wait = durationFromMs(waitMs);
      if (state.case === 'enrolled') return await keepIdentity(dir, key, state.value, tls.key);
      if (state.case === 'rejected') {
        const why = state.value.reason === '' ? '' : `: ${state.value.reason}`;
        throw new ViworksError('enrollment_refused', `An operator refused to enrol this agent${why}`);
      }
      if (!told) {
        told = true;
        deps.onPending(key.keyId);
        continue;
      }
      const ms = state.value?.retryAfter === undefined ? 5000 : durationMs(state.value.retryAfter);
      await deps.sleep(ms * (0.5 + Math.random()));
    } catch (thrown) {
      const error = thrown instanceof ViworksError ? thrown : undefined;
      if (error === undefined || !error.retryable) throw thrown;
      const delay = Math.max(backoffDelay(askingBackoff, failures, Math.random()), error.retryAfterMs ?? 0);
      failures += 1;
      deps.onRetry(error, delay);
      await deps.sleep(delay);
    }
  }
}

/** A fingerprint in groups that a person can compare. */
export const fingerprintOf = (keyId: string): string => keyId.replace(/(.{4})(?=.)/g, '$1-');

/** A request for a certificate beside that for an identity, and the key of TLS that it is for. */
function certificateWish(pair: KeyPair, agentId: string) {
  const key = newTlsKey();
  const certificateRequest = writeRequest(key);
  const certificateSignature = signBytes(pair, certificateRequestInput(agentId, certificateRequest));
  return { key, fields: { certificateRequest, certificateSignature } };
}

/** Stores what enrolment answered; the identity last, since with it the enrolment is over. */
async function keepIdentity(
  dir: string,
  key: KeyPair,
  response: EnrollResponse,
  tlsKey: KeyObject,
): Promise<AgentIdentity> {
  const identity: AgentIdentity = {
    agentId: response.agentId,
    incarnation: response.incarnation,
    site: response.site,
    key,
    serverKeys: response.serverKeys.map((server) => ({
      keyId: server.keyId,
      publicKey: server.publicKey,
      notAfter: timestampMs(server.notAfter),
    })),
  };
  await storeEnrolledTls(dir, response, identity.serverKeys, tlsKey);
  await storeIdentity(dir, identity);
  return identity;
}

export const storeIdentity = (dir: string, identity: AgentIdentity): Promise<void> =>
  writeDurably(identityFile(dir), `${JSON.stringify(storable(identity), null, 2)}\n`);

/** The agent's key, made where there is none. It is stored before anybody hears of it. */
async function ownKey(dir: string): Promise<KeyPair> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const pem = await readIfThere(keyFile(dir));
  if (pem !== undefined) return keyPairFromPem(pem);
  const key = generateKeyPair();
  await writeDurably(keyFile(dir), keyPairToPem(key));
  return key;
}

/** A crash may have come between the identity's change to the next key and that of the file's name. */
async function keyNamed(dir: string, keyId: string, pem: string): Promise<KeyPair> {
  const key = keyPairFromPem(pem);
  if (key.keyId === keyId) return key;
  const next = await readIfThere(nextKeyFile(dir));
  const other = next === undefined ? undefined : keyPairFromPem(next);
  if (other?.keyId !== keyId) throw new Error('agent.key is not the key that was enrolled');
  return other;
}

function storable(identity: AgentIdentity): z.infer<typeof storedIdentity> {
  return {
    agentId: identity.agentId,
    incarnation: identity.incarnation,
    site: identity.site,
    keyId: identity.key.keyId,
    serverKeys: identity.serverKeys.map((server) => ({
      keyId: server.keyId,
      publicKey: Buffer.from(server.publicKey).toString('base64'),
      ...(server.notAfter === undefined ? {} : { notAfter: server.notAfter }),
    })),
  };
}
