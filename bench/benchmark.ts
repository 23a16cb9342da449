/** A benchmark measures one thing on real parts and says it twice: as data, and as a table for people. */
export interface Benchmark {
  readonly name: string;
  readonly summary: string;
  /** Takes long, and runs only where somebody asks for it. */
  readonly onlyByName?: boolean;
  run(options: BenchOptions): Promise<{ result: unknown; report: string }>;
}

export interface BenchOptions {
  /** A short run that shows that everything works; its figures mean little. */
  quick: boolean;
  /** Folder for CPU profiles of the control plane, taken after the measuring. */
  profile: string | undefined;
  /** Says what goes on now. */
  progress(text: string): void;
}
