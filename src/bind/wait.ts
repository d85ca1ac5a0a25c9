import { setTimeout as sleep } from 'node:timers/promises';
import type { Inspection } from '../inspection.ts';
import { failureOf, type KernelError } from '../kernel/errno.ts';
import { destroySockets } from '../kernel/sock-diag.ts';
import type { Attempt } from './attempt.ts';
import { bindError, type Named, throwIfAborted } from './failure.ts';
import { evictable, type Look } from './look.ts';
import { type Next, nextTry, type Patience, type WaitReason } from './schedule.ts';
import { describeWait, type Waiting } from './waiting.ts';

/** How long to try, and whom to tell. */
export interface WaitOptions {
  /**
   * Destroy leftover sockets that no process has instead of waiting for them (SOCK_DESTROY; CAP_NET_ADMIN). Where that is
   * refused they are waited for, and a warning says so.
   * @default false
   */
  evict?: boolean;
  /** Milliseconds between two tries while a live process has the address; undefined gives up on one at once. */
  interval?: number;
  /** Milliseconds after which to give up, whatever blocks. @default 180_000 */
  deadline?: number;
  /** Ends the wait with an error of code `ABORT_ERR`. */
  signal?: AbortSignal;
  /** Told when a wait begins, and when what is waited for changes. */
  onWait?: (waiting: Waiting) => void;
  /** Finds out who is in the way, for errors and for `onWait`: `inspect()`, which is a layer above. */
  explain?: (address: string) => Promise<Inspection>;
}

/** What it took. */
export interface Waited {
  /** Milliseconds. */
  waited: number;
  /** Sockets that were destroyed. */
  evicted: number;
  /** What was asked for and could not be had. */
  warnings: string[];
}

/** The longest that a TCP leftover asks for is 60 s of FIN_WAIT2, then 60 s of TIME_WAIT; and as much again for luck. */
export const DEFAULT_DEADLINE_MS = 180_000;

/** `until` moves with every look while a timer is late: that is nothing to tell. */
const SAME_TIME_MS = 1_000;
/** What closes, or is not to be seen, is most often gone before anybody could read of it. */
const PASSING_MS = 250;

/**
 * Repeats an attempt until it succeeds, for as long as success is possible (schedule.ts).
 *
 * @param named what errors call the action and the address
 * @throws RelistenError with the errno's name as its code and the inspection as its report; `ABORT_ERR`
 */
export async function waitFor(attempt: Attempt, named: Named, options: WaitOptions): Promise<Waited> {
  const startedAt = performance.now();
  const { interval, deadline = DEFAULT_DEADLINE_MS, signal } = options;
  const patience: Patience = { interval, deadline: startedAt + deadline };
  const outcome: Waited = { waited: 0, evicted: 0, warnings: [] };
  const evict = options.evict ? evicter(outcome) : () => false;
  const tell = teller(named.address, patience, options);
  let seen: Look | undefined;
  for (;;) {
    throwIfAborted(named, signal);
    let failure = attempt.run();
    if (failure && !isHopeless(failure, interval)) {
      if (!seen || nextTry(seen, patience, performance.now()).verdict === 'look') {
        seen = after(seen, attempt.look());
        failure = attempt.run(seen);
        if (failure && evict(seen)) {
          seen = undefined;
          continue;
        }
      }
    }
    const waited = performance.now() - startedAt;
    if (!failure) return { ...outcome, waited };
    const next: Next =
      seen && !isHopeless(failure, interval)
        ? nextTry(seen, patience, performance.now())
        : { verdict: 'give-up', why: 'unseen' };
    if (next.verdict === 'give-up') throw await explained(named, failure, options, seen ? waited : 0);
    if (next.verdict === 'look' || !seen) continue;
    await tell(next.why, seen, failure.code === 'EADDRNOTAVAIL');
    await sleep(next.until - performance.now(), undefined, { signal }).catch(() => throwIfAborted(named, signal));
  }
}

/** A look that found nothing knows since when that is so. */
function after(earlier: Look | undefined, look: Look): Look {
  const nothing = !look.live && !look.closing && look.expiries.length === 0;
  return nothing ? { ...look, nothingSince: earlier?.nothingSince ?? look.at } : look;
}

/** An address may come up later, as those do that move between hosts; a right or a family does not. */
function isHopeless(failure: KernelError, interval: number | undefined): boolean {
  return failure.code !== 'EADDRINUSE' && !(failure.code === 'EADDRNOTAVAIL' && interval !== undefined);
}

/** A wait that was worth telling is told with the error, too. */
async function explained(named: Named, failure: KernelError, { explain }: WaitOptions, waited: number) {
  const report = await explain?.(named.address).catch(() => undefined);
  const after = waited >= 1000 ? `after ${(waited / 1000).toFixed(0)} s still ` : '';
  return bindError(named, failure, report, after);
}

/** Answers whether anything was destroyed, so that it is worth trying at once. Stops trying where it is not allowed. */
function evicter(outcome: Waited): (seen: Look) => boolean {
  let allowed = true;
  return seen => {
    const sockets = allowed ? evictable(seen) : [];
    if (sockets.length === 0) return false;
    let destroyed = 0;
    const failure = failureOf(() => {
      destroyed = destroySockets(sockets);
    });
    if (failure) {
      allowed = false;
      outcome.warnings.push(`Cannot evict ${sockets.length} sockets, waiting for them instead: ${failure.message}`);
    }
    outcome.evicted += destroyed;
    return destroyed > 0;
  };
}

function teller(address: string, patience: Patience, { onWait, explain }: WaitOptions) {
  const times = { deadline: patience.deadline, epoch: performance.timeOrigin };
  const startedAt = performance.now();
  let told: Waiting | undefined;
  return async (why: WaitReason, seen: Look, isAbsent: boolean): Promise<void> => {
    const passing = (why === 'closing' || why === 'unseen') && !isAbsent && seen.at - startedAt < PASSING_MS;
    if (!onWait || passing) return;
    const next = describeWait(address, why, seen, times, { isAbsent });
    if (told?.why === why && Math.abs((told.until ?? 0) - (next.until ?? 0)) < SAME_TIME_MS) return;
    const report = why === 'live' ? await explain?.(address).catch(() => undefined) : undefined;
    told = report ? describeWait(address, why, seen, times, { report }) : next;
    onWait(told);
  };
}
