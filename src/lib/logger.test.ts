import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { expect, test } from 'vitest';

test.each(['json', 'text'])('a log as %s that cannot be written does not end the process', async (format) => {
  const program = `
    import { createLogger } from ${JSON.stringify(new URL('./logger.ts', import.meta.url).href)};
    const log = createLogger({ level: 'info', format: '${format}' });
    for (let n = 0; n < 100; n++) log.warn({ n }, 'lost');
    setTimeout(() => { log.info('lost'); process.exitCode = 7; }, 50);`;
  // There is never room.
  const full = openSync('/dev/full', 'w');
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'ignore', full],
  });
  closeSync(full);
  expect(await once(child, 'exit')).toEqual([7, null]);
});
