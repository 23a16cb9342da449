import { appendFileSync, renameSync, statSync } from 'node:fs';

/** Bytes of the current file; the one before is kept beside it as `.1`. */
const maximumBytes = 4 * 1024 * 1024;
/** Lines kept in memory for the message of a failed start. */
const keptLines = 50;

export interface ServerLog {
  write(chunk: Buffer): void;
  /** The newest line that tells of an error, without its prefix. */
  lastError(): string | undefined;
}

/**
 * What PostgreSQL writes to stderr, kept in a file of bounded size. PostgreSQL's own collector bounds files by
 * time only, and it costs a process.
 * @param onLine called for each complete line
 */
export function createServerLog(path: string, onLine: (line: string) => void): ServerLog {
  let size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  let rest = '';
  const recent: string[] = [];

  /** A disk that takes nothing costs what would be told of it, and nothing more. */
  function keep(chunk: Buffer): void {
    try {
      if (size + chunk.byteLength > maximumBytes && size > 0) {
        renameSync(path, `${path}.1`);
        size = 0;
      }
      appendFileSync(path, chunk, { mode: 0o600 });
      size += chunk.byteLength;
    } catch {}
  }

  return {
    write(chunk) {
      keep(chunk);
      const lines = (rest + chunk.toString('utf8')).split('\n');
      rest = (lines.pop() ?? '').slice(-maximumBytes);
      for (const line of lines) {
        recent.push(line);
        if (recent.length > keptLines) recent.shift();
        onLine(line);
      }
    },
    lastError() {
      const line = recent.findLast((l) => /(FATAL|PANIC|ERROR|postgres|initdb): /.test(l));
      return line?.replace(/^.*?(FATAL|PANIC|ERROR|postgres|initdb): +/, '');
    },
  };
}
