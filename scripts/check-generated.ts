import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

/** Proves that gen/ and migrations/ are what their sources make now. */

const scratch = mkdtempSync(join(tmpdir(), 'viworks-generated-'));
const problems: string[] = [];
try {
  execFileSync('buf', ['generate', '--output', scratch], { stdio: 'inherit' });
  problems.push(...differences('gen', join(scratch, 'gen'), 'npm run generate'));

  const migrations = join(scratch, 'migrations');
  cpSync('migrations', migrations, { recursive: true });
  // drizzle-kit takes --out only together with the other settings of its configuration file.
  const schema = ['--dialect', 'postgresql', '--schema', './src/storage/schema/*.ts'];
  const out = relative(process.cwd(), migrations);
  execFileSync('drizzle-kit', ['generate', ...schema, '--out', out, '--name', 'check'], { stdio: 'ignore' });
  problems.push(...differences('migrations', migrations, 'npx drizzle-kit generate --name WHAT_CHANGED'));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
for (const problem of problems) process.stderr.write(`${problem}\n`);
if (problems.length > 0) process.exitCode = 1;
else process.stdout.write('gen/ and migrations/ are up to date\n');

function differences(committed: string, fresh: string, remedy: string): string[] {
  const names = new Set([...filesBelow(committed), ...filesBelow(fresh)]);
  return [...names]
    .filter((name) => contentOf(join(committed, name)) !== contentOf(join(fresh, name)))
    .map((name) => `${join(committed, name)} is not what its source makes; run: ${remedy}`);
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
