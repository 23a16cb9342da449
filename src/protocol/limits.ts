/** Every bound of the wire in one place, because the libraries below set none of them. */
export const wireLimits = {
  /** Bytes of one serialised envelope. */
  messageBytes: 1024 * 1024,
  /** Bytes of a call with which an agent enrols or renews: whoever makes it may be anybody, and no agent says more. */
  strangerBytes: 128 * 1024,
  /** Concurrent HTTP/2 streams on one connection. */
  http2Streams: 128,
  /** Bytes of all headers of one request. */
  headerBytes: 16 * 1024,
  /** Milliseconds in which a client must finish its headers. */
  headersTimeoutMs: 10_000,
  /** Milliseconds from a new connection to its first HELLO, and from HELLO to PROOF. */
  handshakeTimeoutMs: 10_000,
  /** Bytes that a peer may leave unread before its connection is destroyed. */
  outboundBufferBytes: 8 * 1024 * 1024,
  /** Milliseconds without any progress after which an answer that its client does not take is given up. */
  unreadTimeoutMs: 30_000,
  /** Milliseconds that a closing peer has to take what is left and to answer; then it is cut. */
  closeTimeoutMs: 5_000,
  /** Bytes of a command’s serialised args: they travel in one envelope, with room for the rest of it. */
  argsBytes: 512 * 1024,
  /** Levels of lists and objects in args and results that are JSON; protobuf’s own limit is the same. */
  jsonLevels: 100,
  /** Bytes kept of stdout, and of stderr, unless a command says less. */
  outputBytes: 256 * 1024,
  /** What is measured is at most this, above and below 0: nothing real is, and sums of it stay numbers. */
  measure: 1e100,
} as const;

/** Whether it can be measured: a number within the limit. */
export const isMeasure = (value: number): boolean => Math.abs(value) <= wireLimits.measure;
