import type { EventEmitter } from 'node:events';
import type { Server } from 'node:net';
import type { DrainOptions } from './drain/options.ts';
import type { DrainProgress, DrainReport } from './drain/report.ts';
import type { RawHandoff } from './handoff/state.ts';
import type { Listening, ListenOptions } from './listen.ts';

/** {@link ListenOptions}, and how it ends. */
export interface ServeOptions extends ListenOptions {
  /**
   * How to drain. What decides about handing off is not asked for here.
   *
   * @default a deadline of 30 s, or what `relisten run` allows
   */
  drain?: Omit<DrainOptions, 'handOff' | 'shared'>;
  /** For a raw TCP server: lets its connections go on in the next generation under `relisten run`. */
  handoff?: RawHandoff;
  /**
   * Signals that drain and close it; none with an empty list. A second SIGINT cuts what is left.
   *
   * @default SIGTERM and SIGINT, and what `relisten run` uses
   */
  signals?: readonly NodeJS.Signals[];
}

/** Why a server is being closed. */
export type CloseReason = NodeJS.Signals | 'close' | 'abort';

export interface ServeEvents {
  /** It is not ready any more, and begins to drain. */
  draining: [reason: CloseReason];
  progress: [progress: DrainProgress];
  /** The last connection is gone. */
  closed: [report: DrainReport];
}

/** A server that serves until it is told to stop. */
export interface Serving extends AsyncDisposable {
  /** Where it listens. */
  readonly address: Listening['address'];
  /** Whether the listener was inherited. */
  readonly adopted: boolean;
  readonly events: EventEmitter<ServeEvents>;
  /** Resolves when it is closed, whatever the reason. */
  readonly closed: Promise<DrainReport>;
  /** Drains and closes it; every call answers the same promise. `await using` does it at the end of the block. */
  close(): Promise<DrainReport>;
}

/**
 * Serves: listens (see {@link listen}), says that it is ready (sd_notify(3), where somebody waits for it), and on a stop
 * signal drains, hands what is idle to the next generation under `relisten run`, and closes. The same call does under
 * `relisten run`, under systemd, in a container and alone.
 *
 * After a stop signal the process ends by that signal when the drain is over, unless the program listens to the signal
 * too: then it ends when the program lets it. A `process.exit()` of the program is held back until the drain is over.
 *
 * @throws RelistenError as `listen` does, and `ERR_INVALID_ARG_VALUE` for what it adds
 * @example
 * ```ts
 * await using serving = await serve(createServer(app), { port: 3000 });
 * await serving.closed;
 * ```
 */
export async function serve(server: Server, options: ServeOptions | number | string): Promise<Serving> {
  // Loaded here, so that importing relisten costs next to nothing.
  const { start } = await import('./serve/start.ts');
  return start(server, options);
}
