// Outside of this repository: from 'viworks/plugin'.
import type { PluginExecutor } from '../../../src/agent/plugin.ts';

/** The smallest plug-in: one verb that answers with a text. */

const greet: PluginExecutor<{ name: string; times: number }, { greeting: string }> = async ({
  name,
  times,
}) => ({
  output: { greeting: Array.from({ length: times }, () => `Hello ${name}!`).join(' ') },
});

export const verbs = 'verbs.json';
export const executors = { 'hello.greet': greet };
