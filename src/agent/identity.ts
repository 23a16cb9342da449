import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { z } from 'zod';
import {
  type EnrollRequest,
  EnrollRequestSchema,
  type EnrollResponse,
} from '#gen/viworks/agent/v1/agent_service_pb.js';
import { ViworksError } from '../errors.ts';
import { timestampMs } from '../protocol/envelope.ts';
import { generateKeyPair, type KeyPair, keyPairFromPem, keyPairToPem, signBytes } from '../protocol/keys.ts';
import { enrollInput } from '../protocol/signed.ts';
import { assertValid } from '../protocol/validation.ts';

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
const keyFile = (dir: string) => join(dir, 'agent.key');
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
    const key = keyPairFromPem(pem);
    if (key.keyId !== stored.keyId) throw new Error('agent.key is not the key that was enrolled');
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
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const pem = await readIfThere(keyFile(dir));
  const key = pem === undefined ? generateKeyPair() : keyPairFromPem(pem);
  if (pem === undefined) await writeDurably(keyFile(dir), keyPairToPem(key));
  const { token, agentId } = enrollment;
  const request = create(EnrollRequestSchema, {
    token,
    agentId,
    publicKey: key.publicKey,
    signature: signBytes(key, enrollInput(token, agentId, key.publicKey)),
    labels: enrollment.labels ?? {},
  });
  assertValid(EnrollRequestSchema, request);
  const response = await call(request);
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
  await writeDurably(identityFile(dir), `${JSON.stringify(storable(identity), null, 2)}\n`);
  return identity;
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

export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whole or not at all: a crash leaves the file that was there before. */
export async function writeDurably(file: string, text: string): Promise<void> {
  const temporary = `${file}.new`;
  const handle = await open(temporary, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
  const folder = await open(dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
