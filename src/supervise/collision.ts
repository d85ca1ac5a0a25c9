import type { GenerationState } from './generation.ts';

/** A held listener whose address overlaps one that a generation binds. */
export interface Collision {
  /** Named with -p, for both families; any other that was named is not among them. */
  pinned: boolean;
  /** The binding generation has bound it already. One that is pinned it may have open without: it is passed on. */
  given: boolean;
  /** A process of the binding generation has it open. */
  openHere: boolean;
  /** A process of another generation has it open. */
  openElsewhere: boolean;
  /** A generation that was ready before the binding one listened on it. */
  served: boolean;
}

/**
 * Whether it only was to see if a port is free, and is to be let go of (vite, get-port):
 *
 * | a process has it open | a generation before was ready with it | abandoned                  |
 * |-----------------------|---------------------------------------|----------------------------|
 * | yes                   | any                                   | no                         |
 * | no                    | yes                                   | no: clients may wait there |
 * | no                    | no                                    | yes, unless it is pinned   |
 */
export function isAbandoned({ pinned, openHere, openElsewhere, served }: Collision): boolean {
  return !pinned && !openHere && !openElsewhere && !served;
}

/**
 * What becomes of a bind that collides with held listeners, when those that are abandoned are let go of; the first row that fits:
 *
 * | one of them is                        | the generation is | answer                                                  |
 * |---------------------------------------|-------------------|---------------------------------------------------------|
 * | (there is none left)                  | any               | free                                                    |
 * | open in it; if pinned, given to it    | any               | refuse, as the kernel does                              |
 * | pinned                                | starting          | stop-first: the generation that has it ends before      |
 * | any other                             | starting, ready,  | beside: both are bound, and the other one's clients     |
 * |                                       | yielding          | notice nothing                                          |
 * | any                                   | any other         | refuse                                                  |
 */
export function answerTo(
  state: GenerationState,
  collisions: readonly Collision[],
): 'free' | 'refuse' | 'beside' | 'stop-first' {
  if (collisions.length === 0) return 'free';
  if (collisions.some(({ pinned, given, openHere }) => (pinned ? given : openHere))) return 'refuse';
  if (collisions.some(({ pinned }) => pinned)) return state === 'starting' ? 'stop-first' : 'refuse';
  return ['starting', 'ready', 'yielding'].includes(state) ? 'beside' : 'refuse';
}
