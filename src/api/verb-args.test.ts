import type { TRPCClient } from '@trpc/client';
import { expect, test } from 'vitest';
import { builtInCatalogue } from '../protocol/verbs.ts';
import { type AppRouter, otherVerb, type VerbArgs } from './client.ts';

// As an application declares the verbs of its plug-ins.
declare module './client.ts' {
  interface VerbArgs {
    'test.declared': { username: string };
  }
}

/** The compiler checks these calls; they are never made. */
function calls({ commands }: TRPCClient<AppRouter>) {
  const target = { all: true } as const;
  const good = [
    commands.submit.mutate({ verb: 'system.info', target }),
    commands.submit.mutate({ verb: 'exec', args: { argv: ['uptime'], environment: { A: 'b' } }, target }),
    commands.submit.mutate({
      verb: 'docker.run',
      args: { image: 'a', memoryBytes: 1, detach: true },
      target,
    }),
    commands.plan.query({ verb: 'file.read', args: { path: '/etc/hosts', offset: '1' }, target }),
    commands.submit.mutate({ verb: otherVerb('panel.user.create'), args: { anything: [1] }, target }),
    commands.submit.mutate({ verb: 'test.declared', args: { username: 'ada' }, target }),
  ];
  const wrong = [
    // @ts-expect-error there is no such verb
    commands.submit.mutate({ verb: 'docker.rnu', target }),
    // @ts-expect-error docker.run has no such arg
    commands.submit.mutate({ verb: 'docker.run', args: { imgae: 'a' }, target }),
    // @ts-expect-error the args are those of another verb
    commands.submit.mutate({ verb: 'docker.stop', args: { image: 'a' }, target }),
    // @ts-expect-error argv is a list
    commands.submit.mutate({ verb: 'exec', args: { argv: 'uptime' }, target }),
    // @ts-expect-error detach is true or false
    commands.plan.query({ verb: 'docker.run', args: { image: 'a', detach: 'yes' }, target }),
    // @ts-expect-error a declared verb takes what it declares
    commands.submit.mutate({ verb: 'test.declared', args: { user: 'ada' }, target }),
  ];
  return [...good, ...wrong];
}

test('every built-in verb has its args declared, and no other', () => {
  const declared: Record<Exclude<keyof VerbArgs, 'test.declared'>, true> = {
    'compose.down': true,
    'compose.logs': true,
    'compose.ps': true,
    'compose.up': true,
    'docker.build': true,
    'docker.exec': true,
    'docker.inspect': true,
    'docker.logs': true,
    'docker.ps': true,
    'docker.pull': true,
    'docker.rm': true,
    'docker.run': true,
    'docker.stats': true,
    'docker.stop': true,
    exec: true,
    'file.read': true,
    'service.status': true,
    'system.info': true,
  };
  expect(Object.keys(declared).sort()).toEqual(builtInCatalogue.names);
});

test('args go with their verb, or do not compile', () => {
  // The work is that of the compiler: a call above that compiles against its comment is an error there.
  expect(calls).toBeTypeOf('function');
});
