import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { makeCertificate } from '../support/tls-certificate.ts';

/** Every configuration that the documentation shows is one that the service starts with. */

const folder = mkdtempSync(join(tmpdir(), 'viworks-toml-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const root = new URL('../../', import.meta.url);
const pages = ['README.md', ...readdirSync(new URL('docs', root)).map((name) => `docs/${name}`)];
const blocks = pages
  .filter((page) => page.endsWith('.md'))
  .flatMap((page) => {
    const text = readFileSync(new URL(page, root), 'utf8');
    return Array.from(text.matchAll(/^```toml\n([\s\S]*?)^```$/gm), ([, toml = ''], index) => ({
      name: `${page}, ${index + 1}`,
      toml,
    }));
  });

const { cert, key } = await makeCertificate();
writeFileSync(join(folder, 'cert.pem'), cert);
writeFileSync(join(folder, 'key.pem'), key);

test('there are some', () => {
  expect(blocks.length).toBeGreaterThan(2);
});

test.each(blocks)('$name', ({ toml }) => {
  const file = join(folder, 'viworks.toml');
  // The files that it names are those of the reader.
  writeFileSync(file, toml.replaceAll('/etc/viworks/', `${folder}/`));
  expect(() => loadConfig({ file })).not.toThrow();
});
