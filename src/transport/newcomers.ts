import type net from 'node:net';
import { clientNetwork } from '../lib/addresses.ts';

/**
 * Newcomers are sockets that have begun to speak and have not shown yet who they are. Only so many are attended to
 * at once; the others wait unread: networks take turns, and of one network those who came first. So when a whole fleet comes back at the same
 * moment, those who are connected are served meanwhile, and the work done for a newcomer is never in vain because
 * it took too long: who gives up while it waits has cost nothing.
 */
export interface Newcomers {
  /** Calls back when it is the socket's turn, perhaps at once; never if it closes before. */
  enter(socket: net.Socket, onTurn: () => void): void;
  /** The socket of this name is known now, or wants nothing that takes long: the next one's turn. */
  settled(name: string): void;
  readonly waiting: number;
}

/** Names an open socket: HTTP/2 shows it only through a proxy of it, and only for as long as it is there. */
export const socketName = (socket: Pick<net.Socket, 'remoteAddress' | 'remotePort'> | undefined): string =>
  socket === undefined ? '' : `${socket.remoteAddress} ${socket.remotePort}`;

export interface NewcomersOptions {
  /** Attended to at once. */
  atOnce: number;
  /** Milliseconds after which the turn of one that is still unknown ends; what it began goes on. */
  turnMs?: number;
  /** Milliseconds that one waits at most; then it is closed, because its own patience is over by then. */
  patienceMs?: number;
}

export function createNewcomers(options: NewcomersOptions): Newcomers {
  const { atOnce, turnMs = 3_000, patienceMs = 25_000 } = options;
  /** How to end the turn of those who have it. */
  const turns = new Map<string, () => void>();
  /** Who waits, by network; the network whose turn is next comes first. */
  const queue = new Map<string, Set<() => void>>();
  let waiting = 0;

  function next(): void {
    while (turns.size < atOnce) {
      const [first] = queue;
      if (first === undefined) return;
      const [network, line] = first;
      const [begin] = line;
      if (begin === undefined) return;
      remove(network, line, begin);
      // The others go before its next one.
      if (queue.delete(network)) queue.set(network, line);
      begin();
    }
  }

  function remove(network: string, line: Set<() => void>, begin: () => void): void {
    if (line.delete(begin)) waiting -= 1;
    if (line.size === 0 && queue.get(network) === line) queue.delete(network);
  }

  function attend(socket: net.Socket, onTurn: () => void): void {
    const name = socketName(socket);
    const end = (): void => {
      if (turns.get(name) !== end) return;
      turns.delete(name);
      clearTimeout(timer);
      socket.off('close', end);
      next();
    };
    const timer = setTimeout(end, turnMs).unref();
    socket.once('close', end);
    turns.set(name, end);
    onTurn();
  }

  return {
    enter(socket, onTurn) {
      if (turns.size < atOnce && waiting === 0) return attend(socket, onTurn);
      const patience = setTimeout(() => socket.destroy(), patienceMs).unref();
      const network = clientNetwork(socket.remoteAddress ?? '');
      const line = queue.get(network) ?? new Set();
      queue.set(network, line);
      const leave = (): void => {
        clearTimeout(patience);
        remove(network, line, begin);
      };
      const begin = (): void => {
        clearTimeout(patience);
        socket.off('close', leave);
        attend(socket, onTurn);
      };
      socket.once('close', leave);
      line.add(begin);
      waiting += 1;
    },
    settled: (name) => turns.get(name)?.(),
    get waiting() {
      return waiting;
    },
  };
}
