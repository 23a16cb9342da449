/** What docker says when it fails, as one word for programs. */

const classes: readonly [said: RegExp, code: string][] = [
  [/permission denied while trying to connect/i, 'permission_denied'],
  [
    /cannot connect to the docker daemon|is the docker daemon running|error during connect/i,
    'engine_unavailable',
  ],
  [/toomanyrequests|rate limit/i, 'rate_limited'],
  [/no space left on device|cannot allocate memory|too many open files/i, 'resource_exhausted'],
  [/no such (container|image|volume|network|service|object|file)/i, 'not_found'],
  [/manifest unknown|manifest for .* not found|repository does not exist|: not found$/im, 'not_found'],
  [/no configuration file provided|executable file not found|path .* not found/i, 'not_found'],
  [/unauthorized|access denied|authentication required|denied: /i, 'permission_denied'],
  [/is already in use|port is already allocated|address already in use|\bconflict\b/i, 'conflict'],
  [/is not running|is restarting|is paused/i, 'not_running'],
  [/i\/o timeout|handshake timeout|no such host|connection re(fused|set)|network is unreachable/i, 'network'],
  [/invalid reference format|unknown flag|invalid argument/i, 'invalid_args'],
];

/** `exit_code` where nothing more is known. @param said by docker on stderr */
export function failureCodeOf(said: string): string {
  return classes.find(([pattern]) => pattern.test(said))?.[1] ?? 'exit_code';
}

/** docker's own words, and not those of the program in the container. */
const ownWords =
  /^(docker: |Error response from daemon: |Error: No such |OCI runtime exec failed: |Cannot connect to the Docker daemon|permission denied while trying to connect|error during connect)/m;

/** Whether it was docker that failed, where docker hands on the exit code of what it ran. */
export function isDockersOwn(exitCode: number | undefined, said: string): boolean {
  // docker run says 125 of its own failures, 126 and 127 where the program cannot be run; docker exec says 1 too.
  return exitCode !== undefined && [1, 125, 126, 127].includes(exitCode) && ownWords.test(said);
}
