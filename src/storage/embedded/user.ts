import { readFileSync, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { ViworksError } from '../../errors.ts';

/**
 * PostgreSQL refuses to run as root. As root, its processes run as the user `postgres` where there is one and
 * as `nobody` elsewhere; as anybody else, they run as that person.
 */
export interface DatabaseUser {
  name: string;
  uid: number;
  gid: number;
}

/** How to start a program as that user. */
export interface Launch {
  user: DatabaseUser | undefined;
  /** Put before the program and its arguments. */
  prefix: readonly string[];
}

/** Undefined: the user this process has. @throws config_invalid where root finds no user to change to */
export function databaseUser(): DatabaseUser | undefined {
  if (process.geteuid?.() !== 0) return undefined;
  const accounts = parseAccounts(readFileSync('/etc/passwd', 'utf8'));
  const user = accounts.get('postgres') ?? accounts.get('nobody');
  if (user !== undefined && user.uid !== 0) return user;
  throw new ViworksError(
    'config_invalid',
    'DATABASE_URL: is needed here, because PostgreSQL does not run as root and there is no user `postgres` or `nobody`',
  );
}

export function parseAccounts(passwd: string): Map<string, DatabaseUser> {
  const accounts = new Map<string, DatabaseUser>();
  for (const line of passwd.split('\n')) {
    const [name, , uid, gid] = line.split(':');
    if (name && uid && gid) accounts.set(name, { name, uid: Number(uid), gid: Number(gid) });
  }
  return accounts;
}

/** The topmost folder on the way to the path that the user may not pass, or undefined if all are open. */
export function blockingFolder(path: string, user: DatabaseUser): string | undefined {
  const folders: string[] = [];
  for (let at = dirname(path); ; at = dirname(at)) {
    folders.unshift(at);
    if (at === dirname(at)) break;
  }
  return folders.find((folder) => !mayPass(statSync(folder), user));
}

/** The search permission as POSIX decides it: the owner's bit, else the group's, else that of the others. */
export function mayPass(folder: Pick<Stats, 'mode' | 'uid' | 'gid'>, user: DatabaseUser): boolean {
  if (folder.uid === user.uid) return (folder.mode & 0o100) !== 0;
  if (folder.gid === user.gid) return (folder.mode & 0o010) !== 0;
  return (folder.mode & 0o001) !== 0;
}

/**
 * Finds out how the user can be given the paths. A checkout below a closed folder such as /root is passed with
 * one capability, as far as `setpriv` and this machine allow; the weaker one (read and search) is preferred.
 * @throws config_invalid naming the folder that is in the way
 */
export function launchFor(user: DatabaseUser | undefined, paths: readonly string[]): Launch {
  if (user === undefined) return { user, prefix: [] };
  const blocked = paths.map((path) => blockingFolder(path, user)).find((folder) => folder !== undefined);
  if (blocked === undefined) return { user, prefix: [] };
  const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((p) => statSync(p, { throwIfNoEntry: false }));
  const capability = passCapability();
  if (setpriv === undefined || capability === undefined) {
    throw new ViworksError(
      'config_invalid',
      `${blocked}: the user ${user.name}, which PostgreSQL runs as, may not pass this folder; move the checkout, set VIWORKS_DATA_DIR to a folder elsewhere, or do not run as root`,
    );
  }
  return {
    user: undefined,
    prefix: [
      setpriv,
      `--reuid=${user.uid}`,
      `--regid=${user.gid}`,
      '--clear-groups',
      `--inh-caps=-all,+${capability}`,
      `--ambient-caps=-all,+${capability}`,
      `--bounding-set=-all,+${capability}`,
      '--',
    ],
  };
}

/** What of the two capabilities that pass closed folders this process can hand on. */
function passCapability(): 'dac_read_search' | 'dac_override' | undefined {
  const status = statSync('/proc/self/status', { throwIfNoEntry: false });
  if (status === undefined) return undefined;
  const mask = /^CapPrm:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const held = BigInt(`0x${mask}`);
  if ((held & (1n << 2n)) !== 0n) return 'dac_read_search';
  return (held & (1n << 1n)) === 0n ? undefined : 'dac_override';
}
