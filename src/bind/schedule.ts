/*
 * When to try the next bind(2), or to give up: decided from one look at the kernel's tables, without touching anything.
 * Every time is in milliseconds on one monotonic clock.
 */

/** What stood in the way when somebody looked. */
export interface Sighting {
  at: number;
  /** A process has a socket there that will not go by itself: a listener, a bound socket, a connection. */
  live: boolean;
  /** Of the sockets that no process has: when the kernel's timer removes each. In any order. */
  expiries: readonly number[];
  /** A socket without a process is still closing (FIN_WAIT1, LAST_ACK, CLOSING): gone when its peer answers. */
  closing: boolean;
  /** Since when every look has found nothing; undefined for one that found something. */
  nothingSince?: number;
}

/** How long to go on. */
export interface Patience {
  /** Between two tries at an address that a live process has; undefined for those who do not wait for that. */
  interval: number | undefined;
  deadline: number;
}

/** What is waited for: a live process, a kernel timer, a closing socket, or something that was not to be seen. */
export type WaitReason = 'live' | 'timers' | 'closing' | 'unseen';

export type Next =
  | { verdict: 'wait'; until: number; why: WaitReason }
  | { verdict: 'look' }
  | { verdict: 'give-up'; why: WaitReason };

/**
 * A socket whose timer has run out is gone any moment. The timers of TIME_WAIT sit in a wheel that never fires early but
 * late: those of 60 s by up to 2 s at HZ=250 (seen), 5 s at HZ=100 (kernel/time/timer.c, the table of granularities).
 */
const OVERDUE_INTERVAL_MS = 10;
/** While sockets close, which takes a round trip, or retransmissions. */
const CLOSING_INTERVAL_MS = 20;
/** A bind that fails though nothing is in the way met something that went between the two; for so long that is believed. */
const UNSEEN_MS = 500;
/** What was seen is trusted for so long, unless it said when it ends. */
const TRUST_MS = 250;

/**
 * | what was seen                               | live ones waited for | next                                        |
 * |---------------------------------------------|----------------------|---------------------------------------------|
 * | anything                                    | either               | at the deadline: give up                    |
 * | timers that run, nothing else               | either               | when the next runs out; give up now where none does before the deadline |
 * | anything else, longer ago than 250 ms       | either               | look again                                  |
 * | a timer that has run out                    | either               | in 10 ms                                    |
 * | sockets without a process, closing          | either               | in 20 ms                                    |
 * | live sockets only                           | yes                  | after the interval                          |
 * | live sockets only                           | no                   | give up                                     |
 * | nothing at all                              | yes                  | after the interval                          |
 * | nothing at all                              | no                   | in 10 ms, for half a second; then give up   |
 *
 * The soonest of those that apply. Live sockets beside others do not end the wait: which of them blocks is not to be
 * seen, as the kernel does not tell which had set SO_REUSEADDR. A listener always blocks: a look that saw one names
 * nothing else.
 */
export function nextTry(seen: Sighting, patience: Patience, now: number): Next {
  const { live, expiries, closing } = seen;
  const { interval = Number.POSITIVE_INFINITY, deadline } = patience;
  const why = reasonOf(seen);
  if (now >= deadline) return { verdict: 'give-up', why };

  const expiry = expiries.reduce((first, next) => Math.min(first, next), Number.POSITIVE_INFINITY);
  const running = why === 'timers' && expiry > now;
  if (!(running && !closing && !live) && now - seen.at > TRUST_MS) return { verdict: 'look' };

  const choices: number[] = [];
  if (why === 'timers') choices.push(running ? expiry : now + OVERDUE_INTERVAL_MS);
  if (closing) choices.push(now + CLOSING_INTERVAL_MS);
  if (live || why === 'unseen') choices.push(now + interval);
  if (why === 'unseen' && now - (seen.nothingSince ?? seen.at) < UNSEEN_MS) choices.push(now + OVERDUE_INTERVAL_MS);
  const soonest = Math.min(...choices);
  if (soonest === Number.POSITIVE_INFINITY || (soonest === expiry && expiry > deadline)) {
    return { verdict: 'give-up', why };
  }
  return { verdict: 'wait', until: Math.min(soonest, deadline), why };
}

function reasonOf({ live, expiries, closing }: Sighting): WaitReason {
  if (expiries.length > 0) return 'timers';
  if (closing) return 'closing';
  return live ? 'live' : 'unseen';
}
