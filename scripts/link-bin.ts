import { chmodSync, rmSync, symlinkSync } from 'node:fs';

/** Lets `npx viworks` find the build in the checkout, as it finds it where the package is installed. */
chmodSync('dist/main.js', 0o755);
const link = 'node_modules/.bin/viworks';
rmSync(link, { force: true });
symlinkSync('../../dist/main.js', link);
