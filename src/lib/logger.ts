import { type Logger, pino, stdTimeFunctions } from 'pino';

export type { Logger };

export interface LoggerOptions {
  level: string;
  /** `json` for machines, `text` for a person at a terminal. */
  format: 'json' | 'text';
}

/** Writes structured lines to stderr; stdout belongs to the output of commands. */
export function createLogger(options: LoggerOptions): Logger {
  const destination = options.format === 'json' ? jsonDestination() : textDestination();
  return pino({ level: options.level, timestamp: stdTimeFunctions.isoTime, base: null }, destination);
}

/** A file on a full disk, or a pipe that nobody reads any more, costs lines of the log and not the process. */
const lost = () => {};

function jsonDestination() {
  const destination = pino.destination({ dest: 2, sync: true });
  destination.on('error', lost);
  return destination;
}

const levelNames: Record<number, string> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
};

/** One line a record: time, level, message, then the fields as key=value. */
function textDestination() {
  if (!process.stderr.listeners('error').includes(lost)) process.stderr.on('error', lost);
  return {
    write(line: string) {
      const { time, level, msg, err, ...rest } = JSON.parse(line);
      const fields = Object.entries(rest).map(
        ([k, v]) => `${k}=${typeof v === 'string' ? v : JSON.stringify(v)}`,
      );
      if (err) fields.push(`error=${JSON.stringify(err.message)}`);
      process.stderr.write(
        `${String(time).slice(11, 23)} ${(levelNames[level] ?? '').padEnd(5)} ${msg ?? ''} ${fields.join(' ')}\n`,
      );
    },
  };
}

export const silentLogger: Logger = pino({ level: 'silent' });
