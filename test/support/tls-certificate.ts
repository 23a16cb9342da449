import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export interface Certificate {
  cert: string;
  key: string;
}

const pem = /-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----\n?/g;

/** A fresh self-signed certificate for this machine; nothing touches the disk. */
export async function makeCertificate(): Promise<Certificate> {
  const { stdout } = await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'],
    ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
    ...['-keyout', '-', '-out', '-'],
  ]);
  const blocks = [...stdout.matchAll(pem)];
  const find = (kind: string): string => {
    const block = blocks.find((match) => match[1] === kind);
    if (block === undefined) throw new Error(`openssl made no ${kind}`);
    return block[0];
  };
  return { cert: find('CERTIFICATE'), key: find('PRIVATE KEY') };
}
