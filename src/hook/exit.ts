/** The exit of this process, held back. */
export interface HeldExit {
  /** Lets it go: whatever exit was asked for meanwhile happens now. */
  release(): void;
}

/**
 * Holds the exit back that a program asks for by `process.exit()`, until it is released: its signal handler runs, and may
 * end with that call as it always did, while the drain goes on beside it. The call returns in the meantime, the first
 * exit code that was given counts, and every other way to end (a crash, another signal, abort()) stays what it is.
 */
export function holdExit(): HeldExit {
  const { exit } = process;
  let asked: { code: NodeJS.Process['exitCode'] } | undefined;
  const held = (code?: NodeJS.Process['exitCode']) => {
    asked ??= { code };
  };
  process.exit = held as typeof process.exit;
  return {
    release() {
      if (process.exit === held) process.exit = exit;
      if (asked) Reflect.apply(exit, process, asked.code === undefined ? [] : [asked.code]);
    },
  };
}
