import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A program in place of docker that writes down its arguments and answers as a test says. */
export interface DockerStandIn {
  /** The folder to look for programs in. */
  path: string;
  /** A folder of its own for files of the test. */
  dir: string;
  /** The arguments of every call, in order. */
  calls(): Promise<string[][]>;
  /** What it prints on standard output, and with which exit code it ends, where its arguments begin so. */
  answers(begin: string, answer: { stdout?: string; stderr?: string; exitCode?: number }): Promise<void>;
  /** A shell script to run, where its arguments begin so. */
  runs(begin: string, script: string): Promise<void>;
}

/** Its answers lie in files named after the first two arguments, or the first alone. */
const script = (dir: string) => `#!/bin/sh
n=0
while [ -e "${dir}/calls/$n" ]; do n=$((n + 1)); done
[ $# -eq 0 ] || printf '%s\\0' "$@" > "${dir}/calls/$n"
verb="$1"
if [ "$verb" = compose ]; then
  for arg in "$@"; do case "$arg" in compose|-*) ;; *) verb="compose-$arg"; break ;; esac; done
fi
if [ -e "${dir}/answers/$verb" ]; then . "${dir}/answers/$verb"; else echo "unexpected: $*" >&2; exit 99; fi
`;

/** One for a test; it goes with it. */
export async function dockerStandIn(): Promise<DockerStandIn> {
  const docker = await createDockerStandIn();
  onTestFinished(() => rm(docker.dir, { recursive: true, force: true }));
  return docker;
}

/** One whose folder is its owner's to remove. */
export async function createDockerStandIn(): Promise<DockerStandIn> {
  const dir = await mkdtemp(join(tmpdir(), 'viworks-docker-'));
  const path = join(dir, 'bin');
  for (const name of ['bin', 'calls', 'answers']) await mkdir(join(dir, name));
  await writeFile(join(path, 'docker'), script(dir));
  await chmod(join(path, 'docker'), 0o755);
  const runs = (begin: string, text: string) =>
    writeFile(join(dir, 'answers', begin.replace(' ', '-')), `${text}\n`);
  return {
    path,
    dir,
    async calls() {
      const names = (await readdir(join(dir, 'calls'))).sort((a, b) => Number(a) - Number(b));
      const texts = await Promise.all(names.map((name) => readFile(join(dir, 'calls', name), 'utf8')));
      return texts.map((text) => text.split('\0').slice(0, -1));
    },
    async answers(begin, { stdout = '', stderr = '', exitCode = 0 }) {
      const name = begin.replace(' ', '-');
      await writeFile(join(dir, `${name}.stdout`), stdout);
      await writeFile(join(dir, `${name}.stderr`), stderr);
      await runs(
        begin,
        `/bin/cat "${dir}/${name}.stdout"; /bin/cat "${dir}/${name}.stderr" >&2; exit ${exitCode}`,
      );
    },
    runs,
  };
}
