import type { ReuseOptions } from '../inspection.ts';

/** Which reuse options a listener is to have; `auto` tries what can help, in the order in which it is harmless. */
export type Reuse = 'auto' | ReuseOptions;

export const REUSE: readonly Reuse[] = ['auto', 'address', 'port', 'both', 'none'];

/** One `bind(2)` to try. */
export interface BindStep {
  reuse: ReuseOptions;
  /** Not where a socket listens: with SO_REUSEPORT we would join its group, and take half of its connections. */
  unlessListening: boolean;
}

/**
 * Which option sets to try, in order (socket(7), and `relisten probe` for this very system).
 *
 * | asked   | first   | then, unless a socket listens there |
 * |---------|---------|-------------------------------------|
 * | auto    | address | both                                |
 * | address | address |                                     |
 * | port    | port    |                                     |
 * | both    | both    |                                     |
 * | none    | none    |                                     |
 *
 * SO_REUSEADDR passes TIME_WAIT of a server that had set it, and no live listener. SO_REUSEPORT passes TIME_WAIT of a
 * server that had set only that. Neither passes TIME_WAIT of a server that had set none: that is waited out, or evicted.
 */
export function planBind(asked: Reuse): BindStep[] {
  if (asked !== 'auto') return [{ reuse: asked, unlessListening: false }];
  return [
    { reuse: 'address', unlessListening: false },
    { reuse: 'both', unlessListening: true },
  ];
}
