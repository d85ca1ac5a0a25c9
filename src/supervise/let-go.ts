import type { HeldListener } from './holder.ts';
import { collide } from './match.ts';

/*
 * Which held listeners are to be let go of, and when; what was named with -p, or passed, never is. Pure.
 */

type Listener = Pick<HeldListener, 'pinned' | 'reuseport' | 'generations' | 'key' | 'address' | 'v6only' | 'netns'>;

/** Once a ready generation shows which it wants: those on which no living one listens. */
export function stale<L extends Listener>(listeners: readonly L[], alive: ReadonlySet<number>): L[] {
  return listeners.filter(({ pinned, generations }) => !pinned && ![...generations].some(number => alive.has(number)));
}

/**
 * When a generation is ready, before the old one is told to end: members of a SO_REUSEPORT group that the new one does not open.
 * The old one serves them until it closes its own descriptors, and while we had ours the kernel would go on choosing them
 * for clients (socket(7)), whom nobody accepts.
 */
export function surplus<L extends Listener>(listeners: readonly L[], ready: number): L[] {
  const opened = new Set(openedBy(listeners, ready).map(({ key }) => key));
  return unopenedBy(listeners, ready).filter(({ reuseport, key }) => reuseport && opened.has(key));
}

/**
 * Then as well: those that the new one does not open, and whose addresses overlap one that it does. The kernel would go on
 * choosing the narrower one for clients (inet_lookup_listener(), net/ipv4/inet_hashtables.c).
 */
export function overlapped<L extends Listener>(listeners: readonly L[], ready: number): L[] {
  const opened = openedBy(listeners, ready);
  return unopenedBy(listeners, ready).filter(held => !held.reuseport && opened.some(one => collide(one, held)));
}

/** When a generation has failed: what it alone has opened in the way of others, who get its clients back. */
export function leftInTheWay<L extends Listener>(listeners: readonly L[], failed: number): L[] {
  const isItsOwn = ({ generations }: L) => generations.size === 1 && generations.has(failed);
  const others = listeners.filter(held => !isItsOwn(held));
  return listeners.filter(held => isItsOwn(held) && others.some(other => collide(other, held)));
}

function openedBy<L extends Listener>(listeners: readonly L[], number: number): L[] {
  return listeners.filter(({ generations }) => generations.has(number));
}

function unopenedBy<L extends Listener>(listeners: readonly L[], number: number): L[] {
  return listeners.filter(({ pinned, generations }) => !pinned && !generations.has(number));
}
