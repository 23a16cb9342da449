/** One event of a text/event-stream. */
export interface StreamEvent {
  type: string;
  data: string;
  /** The last id that the stream told, in this event or before. */
  id: string;
}

/** Characters of one event; more is a broken or a hostile stream. */
const maximumEvent = 64 * 1024 * 1024;

/**
 * Takes the text of an event stream in pieces and calls back for each event (HTML standard, 9.2.6). Comments
 * and `retry` are skipped.
 * @returns takes the next piece
 */
export function createEventParser(
  emit: (event: StreamEvent) => void,
  lastEventId = '',
): (piece: string) => void {
  let pending = '';
  let id = lastEventId;
  let type = '';
  let data: string[] = [];
  let size = 0;

  const takeField = (name: string, value: string) => {
    if (name === 'data') data.push(value);
    else if (name === 'event') type = value;
    else if (name === 'id' && !value.includes('\0')) id = value;
  };
  const takeLine = (line: string) => {
    if (line === '') {
      if (data.length > 0) emit({ type: type || 'message', data: data.join('\n'), id });
      [type, data, size] = ['', [], 0];
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1);
    takeField(name, value.startsWith(' ') ? value.slice(1) : value);
  };

  return (piece) => {
    size += piece.length;
    if (size > maximumEvent) throw new Error(`An event is longer than ${maximumEvent} characters.`);
    pending += piece;
    // Long lines come in many pieces; looking for the end of the line in each piece alone keeps that linear.
    if (!/[\r\n]/.test(piece)) return;
    // A CR at the very end may be the first half of CR LF.
    const lines = pending.split(/\r\n|\n|\r(?!$)/);
    pending = lines.pop() ?? '';
    lines.forEach(takeLine);
  };
}
