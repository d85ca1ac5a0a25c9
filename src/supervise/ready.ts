import { RelistenError } from '../errors.ts';
import type { HeldListener } from './holder.ts';
import type { ReadyOptions, SuperviseOptions } from './options.ts';
import { acceptedBy, answersHttp } from './probe.ts';

/** New listeners may still come for so long after the last one, when a new generation opens fewer than the old one. */
const QUIET_MS = 1_000;
const PROBE_INTERVAL_MS = 50;

/** What a generation is asked for and shows, while it starts. */
export interface ReadySigns {
  /** Listeners that the generation before it listens on: until it has them all, it is not ready by listen(2). */
  expected: ReadonlySet<HeldListener>;
  /** Whether a process of the starting generation has the socket of that inode. */
  has(inode: number): boolean;
  /** Aborted when the generation is not starting any more, for good or ill. */
  signal: AbortSignal;
}

/**
 * Waits for the sign that was configured; without one, sd_notify's READY=1 or listen(2), whichever comes first.
 * listen(2) counts when every listener of the generation before is listened on again, or when some are and no other
 * came for a second: a program may open another one, of a debugger perhaps, before its real one.
 */
export class Readiness {
  readonly #options: ReadyOptions;
  readonly #signs: ReadySigns;
  readonly #listening = new Set<HeldListener>();
  /** Resolves when ready; rejects at the deadline, or when the generation stops starting. */
  readonly ready: Promise<void>;
  #resolve: () => void = () => {};
  readonly #clock: Clock;
  #quiet: NodeJS.Timeout | undefined;
  #probing = false;

  constructor({ ready: options, readyTimeoutMs }: SuperviseOptions, signs: ReadySigns) {
    this.#options = options;
    this.#signs = signs;
    let reject: (error: RelistenError) => void = () => {};
    this.ready = new Promise((fulfil, refuse) => {
      this.#resolve = fulfil;
      reject = refuse;
    });
    this.ready.catch(() => {}); // also when nobody has come to wait yet
    this.#clock = new Clock(readyTimeoutMs, () => reject(this.#late(readyTimeoutMs)));
    signs.signal.addEventListener('abort', () => {
      this.#clock.stop();
      clearTimeout(this.#quiet);
      reject(new RelistenError('The start was given up', { code: 'ABORT_ERR', op: 'start' }));
    });
    if (options.http?.includes('://')) this.#probe();
  }

  /** Runs something that the program waits for without being to blame; the deadline is put off by as long. */
  async untimed<T>(work: () => Promise<T>): Promise<T> {
    this.#clock.pause();
    try {
      return await work();
    } finally {
      this.#clock.resume();
    }
  }

  onNotify(): void {
    const { http, tcp, line } = this.#options;
    if (!http && !tcp && !line) this.#resolve();
  }

  onLine(text: string): void {
    if (this.#options.line?.test(text)) this.#resolve();
  }

  onListen(listener: HeldListener | undefined): void {
    if (listener) this.#listening.add(listener);
    const { notify, http, tcp, line } = this.#options;
    if (http || tcp) this.#probe();
    if (notify || http || tcp || line) return;
    const missing = [...this.#signs.expected].filter(expected => !this.#listening.has(expected));
    clearTimeout(this.#quiet);
    if (missing.length === 0) this.#resolve();
    else if (this.#hasTheirKind()) this.#quiet = setTimeout(this.#resolve, QUIET_MS);
  }

  /** A socket file alone is no server where TCP is expected: tools talk to their own children over one (tsx). */
  #hasTheirKind(): boolean {
    const isTcp = ({ address }: HeldListener) => address.family !== 'unix';
    if (![...this.#signs.expected].some(isTcp)) return this.#listening.size > 0;
    return [...this.#listening].some(isTcp);
  }

  /** A listener was passed that the program may use without another listen(2): asks it. */
  onPassed(listener: HeldListener): void {
    this.#listening.add(listener);
    const { notify, http, line } = this.#options;
    if (!notify && !http && !line) this.#probe();
  }

  /** Connects until a process of the new generation accepts, and answers if it is to. */
  #probe(): void {
    if (this.#probing) return;
    this.#probing = true;
    const { http } = this.#options;
    const { signal, has } = this.#signs;
    const attempt = async (): Promise<void> => {
      if (signal.aborted) return;
      const listeners = [...this.#listening].map(listener => listener.address);
      const good = http ? await answersHttp(http, listeners, has, signal) : await acceptedBy(listeners, has, signal);
      if (good) this.#resolve();
      else if (!signal.aborted) setTimeout(() => void attempt(), PROBE_INTERVAL_MS);
    };
    void attempt();
  }

  #late(timeoutMs: number): RelistenError {
    const { notify, http, tcp, line } = this.#options;
    const did = this.#listening.size > 0 ? 'it listens, but' : 'it does not listen, and';
    const missing = http
      ? `${did} did not answer ${http} with 200 to 399`
      : tcp
        ? `${did} did not accept a connection`
        : line
          ? `${did} printed no line that matches ${line}`
          : notify
            ? `${did} did not send READY=1`
            : 'it never listened';
    return new RelistenError(`Not ready within ${timeoutMs / 1000} s: ${missing}`, {
      code: 'ERR_NOT_READY',
      op: 'start',
    });
  }
}

/** A deadline that can be put off. Pauses nest. */
class Clock {
  #leftMs: number;
  #startedAt = Date.now();
  #timer: NodeJS.Timeout | undefined;
  #pauses = 0;
  readonly #onLate: () => void;

  constructor(ms: number, onLate: () => void) {
    this.#leftMs = ms;
    this.#onLate = onLate;
    this.#timer = setTimeout(onLate, ms);
  }

  pause(): void {
    if (this.#pauses++ > 0) return;
    clearTimeout(this.#timer);
    this.#leftMs -= Date.now() - this.#startedAt;
  }

  resume(): void {
    if (--this.#pauses !== 0) return;
    this.#startedAt = Date.now();
    this.#timer = setTimeout(this.#onLate, Math.max(0, this.#leftMs));
  }

  stop(): void {
    this.#pauses = Number.POSITIVE_INFINITY;
    clearTimeout(this.#timer);
  }
}
