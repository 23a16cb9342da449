import type { JsonObject } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { parseArgs } from './run-args.ts';

const typed = (named: string[], positional: string[] = [], json?: string) => ({ named, positional, json });

const understood: [verb: string, typed: ReturnType<typeof typed>, args: JsonObject][] = [
  ['system.info', typed([]), {}],
  ['exec', typed([], ['uptime', '-p']), { argv: ['uptime', '-p'] }],
  ['exec', typed(['argv=ls', 'argv=-l']), { argv: ['ls', '-l'] }],
  ['exec', typed(['working_directory=/tmp']), { workingDirectory: '/tmp' }],
  ['exec', typed(['workingDirectory=/tmp']), { workingDirectory: '/tmp' }],
  ['exec', typed(['environment.A=1', 'environment.B=x=y']), { environment: { A: '1', B: 'x=y' } }],
  ['exec', typed(['argv=b'], [], '{"argv": ["a"]}'), { argv: ['a', 'b'] }],
  ['service.status', typed([], ['nginx']), { name: 'nginx' }],
  [
    'file.read',
    typed(['offset=10', 'limit=5'], ['/etc/hosts']),
    { path: '/etc/hosts', offset: '10', limit: 5 },
  ],
  ['docker.ps', typed(['all']), { all: true }],
  ['docker.ps', typed(['all=false', 'name=web']), { all: false, name: 'web' }],
  ['from.a.newer.server', typed([], [], '{"x": 1}'), { x: 1 }],
];

test.for(understood)('%s %j', ([verb, args, expected]) => {
  expect(parseArgs(verb, args)).toEqual(expected);
});

const refused: [verb: string, typed: ReturnType<typeof typed>, message: RegExp][] = [
  ['exce', typed([]), /no verb exce; did you mean exec\?/],
  ['exec', typed(['argvv=x']), /exec has no such arg; did you mean argv\?/],
  ['exec', typed(['environment=x']), /environment is a map; write environment\.KEY=VALUE/],
  ['exec', typed(['argv.x=1']), /argv has no field x/],
  ['exec', typed(['working_directory']), /write working_directory=VALUE/],
  ['exec', typed([], [], '[1]'), /--args: must be a JSON object/],
  ['exec', typed([], [], '{'), /--args: must be a JSON object/],
  ['docker.ps', typed(['all=perhaps']), /all is true or false/],
  ['file.read', typed(['limit=many']), /limit is a whole number/],
  ['file.read', typed([], ['/a', '/b']), /file\.read takes one path, and here are 2/],
  ['system.info', typed([], ['all']), /system\.info takes no argument "all"; it takes none/],
];

test.for(refused)('%s %j is refused', ([verb, args, message]) => {
  expect(() => parseArgs(verb, args)).toThrow(message);
});
