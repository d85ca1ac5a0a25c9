import { formatAddress } from '../address.ts';
import { RelistenError } from '../errors.ts';
import { Clock } from './clock.ts';
import type { HeldListener } from './holder.ts';
import { collide } from './match.ts';
import type { ReadyOptions, SuperviseOptions } from './options.ts';
import { type Asked, acceptedBy, httpStatus, isGood } from './probe.ts';

/** A listener that is missing may still come for so long after the last one that came. */
const QUIET_MS = 3_000;
/** And until the new generation has had so many times what the old one took for it. */
const PATIENCE = 3;
/** What the old one took where nobody saw it. */
const UNSEEN_MS = 2_000;
/** A first start that listens on a port that the kernel chose alone has nothing else to come, after so long. */
const KERNEL_PORT_MS = 1_000;
/** Nothing is said of a listener that is missing for less. */
const NOTICE_AFTER_MS = 1_000;
/** So long one that listens may take until it waits for clients: workers that load an application do (gunicorn, puma). */
const SETTLE_MS = 10_000;
/** Nothing is said of one that takes less. */
const SETTLE_NOTICE_AFTER_MS = 3_000;
const PROBE_INTERVAL_MS = 50;

/** What a generation is asked for and shows, while it starts. */
export interface ReadySigns {
  /**
   * Listeners that the generation before it listens on: until it has them all, it is not ready by listen(2). Undefined where
   * there was none.
   */
  expected: ReadonlySet<HeldListener> | undefined;
  /** Whether a process of the starting generation has the socket of that inode. */
  has(inode: number): boolean;
  /** Whether no process of another generation has this one. */
  isAlone(listener: HeldListener): boolean;
  /** Told once, if it takes a while: it listens already, and these are missing. */
  onMissing(listeners: readonly HeldListener[]): void;
  /** Resolves when it waits for clients at listeners of these inodes (settle.ts). */
  settled(listeners: () => ReadonlySet<number>): Promise<void>;
  /** Told once, if it takes a while: it listens on all, and does not wait for clients; for so long it may. */
  onUnsettled(ms: number): void;
  /** Aborted when the generation is not starting any more, for good or ill. */
  signal: AbortSignal;
}

/**
 * Waits for the sign that was configured; without one, sd_notify's READY=1 or listen(2), whichever comes first.
 * listen(2) counts when every listener of the generation before is listened on again. A new version may open fewer; what
 * is missing is waited for as long as it could still come, because whoever connects to it is refused afterwards:
 *
 * | the generation before had it after      | it is missed until                                               |
 * |-----------------------------------------|------------------------------------------------------------------|
 * | some time                               | three times that, and three seconds after the last one that came |
 * | nobody has seen when                    | the same, as if after two seconds                                |
 * | more than the deadline: it was asked to | three seconds after the last one that came                       |
 *
 * and at the deadline the generation is ready with those that it has. By then it also has to wait for clients: one that fails
 * right after its listen(2) (a dump that cannot be read, an exception) was never ready. What does not seem to wait in ten seconds
 * is ready all the same, as it may do so in a way that nobody sees.
 *
 * READY=1 that nobody asked for says no more than that it listens on all: gunicorn sends it before its workers have loaded the
 * application. Any other sign counts at once. Only where it has begun to open a SO_REUSEPORT group, the rest of that is waited for
 * with every sign, until three seconds after the last one that came.
 *
 * A port that the kernel chose, which no client can know beforehand, is often a program's own (varnishd's manager, pm2): in a
 * first start it counts once nothing else has come for a second, and later as much as it did for the generation before.
 */
export class Readiness {
  readonly #options: ReadyOptions;
  readonly #signs: ReadySigns;
  readonly #expected: ReadonlySet<HeldListener>;
  readonly #listening = new Set<HeldListener>();
  /** Resolves when ready; rejects at the deadline, or when the generation stops starting. */
  readonly ready: Promise<void>;
  #resolve: () => void = () => {};
  readonly #clock: Clock;
  #quiet: NodeJS.Timeout | undefined;
  #notice: NodeJS.Timeout | undefined;
  /** Inodes of what it has called listen(2) for, and of what it listens on unseen. */
  readonly #opened = new Set<number>();
  #settling: NodeJS.Timeout[] | undefined;
  #probing = false;
  #hasKernelPort = false;
  #signed = false;
  /** All that it has shown is READY=1, which nobody had asked for. */
  #unasked = false;
  /** What it answered last, where it is asked by HTTP. */
  #status: number | undefined;
  /** It closes connections before anybody can see whether it is it that accepts them. */
  #unseen = false;

  constructor({ ready: options, readyTimeoutMs }: SuperviseOptions, signs: ReadySigns) {
    this.#options = options;
    this.#signs = signs;
    this.#expected = signs.expected ?? new Set();
    let reject: (error: RelistenError) => void = () => {};
    this.ready = new Promise((fulfil, refuse) => {
      this.#resolve = fulfil;
      reject = refuse;
    });
    this.ready.catch(() => {}); // also when nobody has come to wait yet
    this.#clock = new Clock(readyTimeoutMs, () => {
      if (this.#quiet || this.#settling) this.#resolve();
      else reject(this.#late(readyTimeoutMs));
    });
    signs.signal.addEventListener('abort', () => {
      this.#clock.stop();
      clearTimeout(this.#quiet);
      clearTimeout(this.#notice);
      this.#settling?.forEach(clearTimeout);
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
    const { notify, http, tcp, line } = this.#options;
    if (!http && !tcp && !line) this.#onSign(!notify);
  }

  onLine(text: string): void {
    if (this.#options.line?.test(text)) this.#onSign();
  }

  /** The sign that outweighs listen(2). */
  #onSign(unasked = false): void {
    this.#unasked = unasked && (this.#unasked || !this.#signed);
    this.#signed = true;
    this.#awaitMissing();
  }

  onListen(listener: HeldListener | undefined): void {
    if (listener) {
      listener.afterMs = this.#clock.elapsedMs;
      this.#listening.add(listener);
    }
    if (this.#signs.signal.aborted || listener?.debugger) return;
    if (listener) this.#opened.add(listener.inode);
    const { notify, http, tcp, line } = this.#options;
    if (http || tcp) this.#probe();
    if (this.#signed || !(notify || http || tcp || line)) this.#awaitMissing();
  }

  #awaitMissing(): void {
    const missing = this.#awaited;
    clearTimeout(this.#quiet);
    if (missing.length === 0) this.#settle();
    else if (this.#signed || this.#hasTheirKind()) {
      this.#quiet = setTimeout(() => this.#settle(), this.#signed ? QUIET_MS : this.#patienceFor(missing));
      this.#notice ??= setTimeout(() => this.#tellMissing(), NOTICE_AFTER_MS);
    }
  }

  /** They may have come meanwhile, and it only does not wait for clients yet. */
  #tellMissing(): void {
    const missing = this.#awaited;
    if (missing.length > 0) this.#signs.onMissing(missing);
  }

  /** It listens: that will do as soon as it waits for clients, too. */
  #settle(): void {
    if (this.#signed && !this.#unasked) this.#resolve();
    else if (!this.#settling) {
      const ms = Math.min(SETTLE_MS, this.#clock.ms - this.#clock.elapsedMs);
      const say = () => this.#signs.onUnsettled(ms);
      this.#settling = [setTimeout(this.#resolve, ms), setTimeout(say, SETTLE_NOTICE_AFTER_MS)];
      void this.#signs.settled(() => this.#opened).then(this.#resolve);
    }
  }

  /** It listens on sockets that are not held, of these inodes: listen(2) is not intercepted, or was not seen. */
  onUnheld(inodes: readonly number[]): void {
    for (const inode of inodes) this.#opened.add(inode);
    this.onListen(undefined);
  }

  /** It listens on a port that the kernel chose. */
  onKernelPort(): void {
    this.#hasKernelPort = true;
    const { notify, http, tcp, line } = this.#options;
    const isFirst = this.#signs.expected === undefined && this.#listening.size === 0;
    if (!isFirst || notify || http || tcp || line) {
      this.onListen(undefined);
      return;
    }
    clearTimeout(this.#quiet);
    if (!this.#signs.signal.aborted) this.#quiet = setTimeout(() => this.#settle(), KERNEL_PORT_MS);
  }

  /** A sign counts at once, but for workers that each open a member of a SO_REUSEPORT group: not all may have come. */
  get #awaited(): HeldListener[] {
    if (!this.#signed) return this.#missing;
    const keys = new Set([...this.#listening].map(({ key }) => key));
    return this.#missing.filter(({ reuseport, key }) => reuseport && keys.has(key));
  }

  /** What was let go of for a restart that is stop-first is listened on anew, and is another listener then. */
  get #missing(): HeldListener[] {
    const anew = [...this.#listening].filter(listener => !this.#expected.has(listener)).map(({ key }) => key);
    return [...this.#expected].filter(listener => {
      if (this.#listening.has(listener) || this.#isCovered(listener)) return false;
      const index = anew.indexOf(listener.key);
      if (index !== -1) anew.splice(index, 1);
      return index === -1;
    });
  }

  /** By a new one whose address overlaps, beside which it cannot come: `[::]` of both families, and no `0.0.0.0`. */
  #isCovered(listener: HeldListener): boolean {
    return [...this.#listening].some(one => !this.#expected.has(one) && collide(one, listener));
  }

  /** For how long from now on they may still come. */
  #patienceFor(missing: readonly HeldListener[]): number {
    const seen = missing.map(({ afterMs = UNSEEN_MS }) => afterMs).filter(ms => ms < this.#clock.ms);
    return Math.max(QUIET_MS, PATIENCE * Math.max(0, ...seen) - this.#clock.elapsedMs);
  }

  /** A socket file alone is no server where TCP is expected: tools talk to their own children over one (tsx). */
  #hasTheirKind(): boolean {
    const isTcp = ({ address }: HeldListener) => address.family !== 'unix';
    if (![...this.#expected].some(isTcp)) return this.#listening.size > 0;
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
    const { signal } = this.#signs;
    const asked = this.#asked;
    const attempt = async (): Promise<void> => {
      if (signal.aborted) return;
      const listeners = [...this.#listening];
      if (http) this.#status = (await httpStatus(http, listeners, asked, signal)) ?? this.#status;
      const good = http ? isGood(this.#status) : await acceptedBy(listeners, asked, signal);
      if (good) this.#onSign();
      else if (!signal.aborted) setTimeout(() => void attempt(), PROBE_INTERVAL_MS);
    };
    void attempt();
  }

  get #asked(): Asked {
    const { has, isAlone } = this.#signs;
    return {
      has,
      isAlone: address => [...this.#listening].some(listener => listener.address === address && isAlone(listener)),
      onUnseen: () => {
        this.#unseen = true;
      },
    };
  }

  #late(timeoutMs: number): RelistenError {
    const { notify, http, tcp, line } = this.#options;
    const did = this.#listening.size > 0 ? 'it listens, but' : 'it does not listen, and';
    const missing = http
      ? this.#status === undefined
        ? `${did} did not answer ${http} with 200 to 399`
        : `it answered ${http} with ${this.#status} last, and not with 200 to 399`
      : tcp
        ? this.#unseen
          ? 'connections are closed before anybody can see which generation accepts them (--ready-notify or --ready-line tells)'
          : `${did} did not accept a connection`
        : line
          ? `${did} printed no line that matches ${line}`
          : notify
            ? `${did} did not send READY=1`
            : this.#neverListened;
    return new RelistenError(`Not ready within ${timeoutMs / 1000} s: ${missing}`, {
      code: 'ERR_NOT_READY',
      op: 'start',
    });
  }

  /** Some move on to another port where they find theirs answered (serve). */
  get #neverListened(): string {
    if (!this.#hasKernelPort) return 'it never listened';
    const missing = this.#missing.map(({ address }) => formatAddress(address)).join(', ');
    return `it listens on a port that the kernel chose, not on ${missing}`;
  }
}
