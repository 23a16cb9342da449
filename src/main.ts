#!/usr/bin/env node
/** The executable. The check comes before any import that an older Node could not read. */
const oldestNode = 24;
if (Number(process.versions.node.split('.')[0]) < oldestNode) {
  process.stderr.write(
    `error: ViWorkS needs Node ${oldestNode} or later, and this is ${process.version}; in a checkout \`npx viworks …\` uses the right one\n`,
  );
  process.exitCode = 1;
} else {
  const { runCli } = await import('./cli/program.ts');
  process.exitCode = await runCli(process.argv);
}

export {};
