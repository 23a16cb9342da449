import { X509Certificate } from 'node:crypto';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { makeCertificate } from '../../../test/support/tls-certificate.ts';
import { systemClock } from '../../lib/clock.ts';
import { createLogger } from '../../lib/logger.ts';
import { openTlsFiles } from './tls-files.ts';

async function files() {
  const dir = await mkdtemp(join(tmpdir(), 'viworks-tls-files-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const [certificatePath, keyPath] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  const put = async (file: string, text: string) => {
    await writeFile(`${file}.new`, text);
    await rename(`${file}.new`, file);
  };
  const first = await makeCertificate();
  await put(certificatePath, first.cert);
  await put(keyPath, first.key);
  const said: string[] = [];
  const heard = Promise.withResolvers<void>();
  const log = Object.assign(createLogger({ level: 'silent', format: 'json' }), {
    error(facts: { problem?: string }) {
      said.push(facts.problem ?? '');
      heard.resolve();
    },
  });
  const opened = await openTlsFiles({ certificatePath, keyPath, intervalMs: 5, clock: systemClock, log });
  onTestFinished(() => opened.stop());
  return { certificatePath, keyPath, put, first, opened, said, heard: heard.promise };
}

test('a new pair is used as soon as both files have it, and half of one is not', async () => {
  const { certificatePath, keyPath, put, first, opened, said, heard } = await files();
  const changed = Promise.withResolvers<void>();
  opened.onChange(changed.resolve);
  opened.start();
  const next = await makeCertificate();
  await put(certificatePath, next.cert);
  await heard;
  expect(said).toEqual(['the key is not that of the certificate']);
  expect(opened.current).toEqual(first);
  await put(keyPath, next.key);
  await changed.promise;
  expect(opened.current).toEqual(next);
});

test('a pair that is refused is judged again, and used as soon as nothing speaks against it', async () => {
  const { certificatePath, keyPath, put, opened, heard, said } = await files();
  const next = await makeCertificate();
  const changed = Promise.withResolvers<void>();
  opened.onChange(changed.resolve);
  let looks = 0;
  opened.start(() => {
    looks += 1;
    return looks < 4 ? 'not yet' : undefined;
  });
  await put(keyPath, next.key);
  await put(certificatePath, next.cert);
  await heard;
  await changed.promise;
  expect(opened.current).toEqual(next);
  expect(said.filter((problem) => problem === 'not yet')).toHaveLength(1);
});

test('what is refused for a reason is not used', async () => {
  const { certificatePath, keyPath, put, first, opened, heard, said } = await files();
  const next = await makeCertificate();
  opened.start((certificate) =>
    certificate.fingerprint === new X509Certificate(next.cert).fingerprint
      ? 'agents do not know it'
      : undefined,
  );
  await put(keyPath, next.key);
  await put(certificatePath, next.cert);
  await heard;
  await expect.poll(() => said).toContain('agents do not know it');
  expect(opened.current).toEqual(first);
});
