import type { Inspection, SocketState } from '../inspection.ts';
import { clock, reasonOf } from './failure.ts';
import type { Look } from './look.ts';
import type { WaitReason } from './schedule.ts';

/** What a bind waits for, and until when. */
export interface Waiting {
  /** The address, as people write it. */
  address: string;
  /**
   * `live`: a process has the address. `timers`: leftovers of dead connections, which the kernel removes by itself.
   * `closing`: connections without a process that wait for their peer. `unseen`: nobody knows.
   */
  why: WaitReason;
  /** One sentence for people, without a full stop: `3000 is kept by 12 TIME_WAIT sockets until 14:03:21 (37 s)`. */
  message: string;
  /** How many sockets are in the way, by state, as far as they are to be seen. */
  sockets: Partial<Record<SocketState, number>>;
  /** Unix time in milliseconds when the last of the kernel's timers runs out; only where all that blocks has one. */
  until?: number;
  /** Unix time in milliseconds when the wait is given up. */
  deadline: number;
  /** Who it is, for `live`. */
  report?: Inspection;
}

/**
 * Puts in words what a look found. Times of the look are monotonic; `epoch` is added to make Unix time of them.
 *
 * @param isAbsent the host does not have the address, which may come later
 */
export function describeWait(
  address: string,
  why: WaitReason,
  look: Look,
  times: { deadline: number; epoch: number },
  { report, isAbsent = false }: { report?: Inspection; isAbsent?: boolean } = {},
): Waiting {
  const sockets: Waiting['sockets'] = {};
  for (const { state } of look.sockets) sockets[state] = (sockets[state] ?? 0) + 1;
  const last = look.expiries.reduce((latest, next) => Math.max(latest, next), 0);
  const until = why === 'timers' && !look.closing ? Math.round(times.epoch + last) : undefined;
  const deadline = Math.round(times.epoch + times.deadline);
  const message = `${address} is ${isAbsent ? 'no address of this host yet' : sentence(why, sockets, look.at + times.epoch, until, report)}`;
  return { address, why, message, sockets, until, deadline, report };
}

function sentence(
  why: WaitReason,
  sockets: Waiting['sockets'],
  now: number,
  until: number | undefined,
  report: Inspection | undefined,
): string {
  if (why === 'live') return report ? reasonOf(report) : 'in use';
  if (why === 'unseen') return 'in use by something that cannot be seen';
  const what = Object.entries(sockets).map(([state, count]) => `${count} ${state} socket${count === 1 ? '' : 's'}`);
  const kept = `kept by ${what.join(' and ')}`;
  if (until === undefined) return `${kept}, until their peers answer`;
  const seconds = Math.max(1, Math.round((until - now) / 1000));
  return `${kept} until ${clock(until, { now, seconds: true })} (${seconds} s)`;
}
