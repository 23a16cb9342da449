import { parseArgs } from 'node:util';
import type { Benchmark } from './benchmark.ts';
import { commands } from './commands.ts';
import { history } from './history.ts';
import { replay } from './replay.ts';
import { roundtrip } from './roundtrip.ts';
import { sessions } from './sessions.ts';
import { telemetry } from './telemetry.ts';

/** `npm run bench [-- name …] [-- --json]`: runs the named benchmarks, or all but the long ones, against the build. */

const benchmarks: readonly Benchmark[] = [roundtrip, commands, sessions, telemetry, replay, history];

const usage = `npm run bench -- [name …] [--json] [--quick] [--profile FOLDER]

${benchmarks.map(({ name, summary }) => `  ${name.padEnd(12)} ${summary}`).join('\n')}

  --json             data for programs instead of tables
  --quick            a short run that shows that everything works
  --profile FOLDER   leaves CPU profiles of the control plane there`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const unknown = positionals.find((name) => !benchmarks.some((benchmark) => benchmark.name === name));
  if (unknown !== undefined) {
    console.error(`There is no benchmark ${unknown}.\n\n${usage}`);
    return 2;
  }
  const chosen = benchmarks.filter(({ name, onlyByName = false }) =>
    positionals.length === 0 ? !onlyByName : positionals.includes(name),
  );
  const results: Record<string, unknown> = {};
  for (const benchmark of chosen) {
    const { result, report } = await benchmark.run({
      quick: values.quick,
      profile: values.profile,
      // Progress is no part of the answer, which may be piped into a program.
      progress: (text) => console.error(`${benchmark.name}: ${text}`),
    });
    results[benchmark.name] = result;
    if (!values.json) console.log(`\n${benchmark.name}: ${benchmark.summary}\n${report}`);
  }
  if (values.json) console.log(JSON.stringify(results, null, 2));
  return 0;
}

process.exitCode = await main();
