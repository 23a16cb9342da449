import { dirname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ViworksError } from '../../errors.ts';
import type { Logger } from '../../lib/logger.ts';
import { readPluginVerbs } from '../../protocol/plugin-verbs.ts';
import { createVerbCatalogue, type PluginVerbs } from '../../protocol/verbs.ts';
import type { Executor } from '../executors/executor.ts';
import type { Plugin, PluginExecutor } from '../plugin.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { pluginExecutor } from './executor.ts';

/** Loads the modules of plug-ins: what is wrong with one stops the agent’s start. */

export interface PluginDeps {
  log: Logger;
  /** Where programs are looked for. */
  path: string | undefined;
  /** Where the metrics of plug-ins are asked for. */
  metrics?: Pick<Metrics, 'measure'> | undefined;
  /** Milliseconds that a plug-in may take to say whether it can be used; 10 s if absent. */
  availableMs?: number;
}

/** @param files absolute paths @throws config_invalid; it names the file and what of it is wrong */
export async function loadPlugins(files: readonly string[], deps: PluginDeps): Promise<Executor[]> {
  const loaded = await Promise.all(files.map((file) => loadPlugin(file, deps)));
  // For its refusal of names that are declared twice.
  createVerbCatalogue(loaded.map(({ declared }) => declared));
  return loaded.flatMap(({ executors }) => executors);
}

async function loadPlugin(
  file: string,
  deps: PluginDeps,
): Promise<{ declared: PluginVerbs; executors: Executor[] }> {
  const plugin = pluginOf(file, await importModule(file));
  const verbFile =
    plugin.verbs instanceof URL ? fileURLToPath(plugin.verbs) : resolve(dirname(file), plugin.verbs);
  const declared = readPluginVerbs(verbFile);
  const names = new Set(declared.verbs.map(({ name }) => name));
  const unknown = Object.keys(plugin.executors).find((name) => !names.has(name));
  if (unknown !== undefined)
    throw invalid(file, `executors has ${unknown}, which ${verbFile} does not declare`);
  const executors = declared.verbs.map((verb) => {
    const run = plugin.executors[verb.name];
    if (run === undefined) throw invalid(file, `executors lacks ${verb.name}, which ${verbFile} declares`);
    return pluginExecutor(verb, run, deps.path);
  });
  if (await isAvailable(file, plugin, deps)) {
    addMetrics(file, plugin, deps);
    return { declared, executors };
  }
  deps.log.warn({ plugin: file }, 'the verbs of the plug-in cannot be run here, and are not announced');
  return { declared, executors: [] };
}

function addMetrics(file: string, { metrics = {} }: Plugin, deps: PluginDeps): void {
  for (const [name, read] of Object.entries(metrics)) {
    try {
      deps.metrics?.measure(name, read);
    } catch (thrown) {
      throw invalid(file, `metrics: ${ViworksError.from(thrown).message}`);
    }
  }
}

async function importModule(file: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return await import(pathToFileURL(file).href);
  } catch (cause) {
    const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
    throw invalid(file, `cannot be loaded: ${reason}`, cause);
  }
}

/** The module’s exports, or those of its export `plugin`. */
function pluginOf(file: string, module: Readonly<Record<string, unknown>>): Plugin {
  const exported = isRecord(module.plugin) ? module.plugin : module;
  const { verbs, executors, available, metrics } = exported;
  if (typeof verbs !== 'string' && !(verbs instanceof URL))
    throw invalid(file, 'must export verbs, the path or URL of its file of verbs');
  if (!isRecord(executors))
    throw invalid(file, 'must export executors, an object with a function for each verb');
  const run: Record<string, PluginExecutor> = {};
  for (const [name, value] of Object.entries(executors)) {
    if (typeof value !== 'function') throw invalid(file, `executors: ${name} must be a function`);
    run[name] = value as PluginExecutor;
  }
  if (available !== undefined && typeof available !== 'function')
    throw invalid(file, 'available must be a function');
  return {
    verbs,
    executors: run,
    ...(available === undefined ? {} : { available: available as NonNullable<Plugin['available']> }),
    ...(metrics === undefined ? {} : { metrics: metricsOf(file, metrics) }),
  };
}

function metricsOf(file: string, metrics: unknown): NonNullable<Plugin['metrics']> {
  if (!isRecord(metrics)) throw invalid(file, 'metrics must be an object with a function for each name');
  for (const [name, value] of Object.entries(metrics))
    if (typeof value !== 'function') throw invalid(file, `metrics: ${name} must be a function`);
  return metrics as NonNullable<Plugin['metrics']>;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

async function isAvailable(
  file: string,
  plugin: Plugin,
  { log, availableMs = 10_000 }: PluginDeps,
): Promise<boolean> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${availableMs} ms`)), availableMs);
  try {
    return (await Promise.race([plugin.available?.(), late.promise])) ?? true;
  } catch (err) {
    log.warn({ err, plugin: file }, 'the plug-in cannot say whether its verbs can be run');
    return false;
  } finally {
    clearTimeout(timer);
  }
}

function invalid(file: string, words: string, cause?: unknown): ViworksError {
  return new ViworksError('config_invalid', `${file}: ${words}`, {
    fields: [{ field: file, problem: words }],
    cause,
  });
}
