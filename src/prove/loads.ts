import { invalidArgument } from '../errors.ts';
import type { ClassOptions } from './classes.ts';

/** The loads that relisten's own numbers are measured under. */
export const LOADS = {
  /** Every kind of HTTP client at a moderate rate: 420 requests/s. */
  base: [
    { kind: 'fresh', rate: 150 },
    { kind: 'keep-alive-get', rate: 160, connections: 20 },
    { kind: 'keep-alive-post', rate: 100, connections: 20, bodyBytes: 16_384 },
    { kind: 'slow', rate: 10, path: '/slow' },
  ],
  /** The race between a closing server and a client that sends, as often as possible: 1,500 requests/s. */
  'keep-alive-heavy': [
    { kind: 'keep-alive-get', rate: 1200, connections: 100 },
    { kind: 'keep-alive-post', rate: 300, connections: 50, bodyBytes: 16_384 },
  ],
} satisfies Record<string, ClassOptions[]>;

export type LoadName = keyof typeof LOADS;

/**
 * A ready-made load, its rates times `scale`; the number of connections stays.
 *
 * @throws RelistenError `ERR_INVALID_ARG_VALUE`
 */
export function namedLoad(name: string, scale = 1): ClassOptions[] {
  if (!(scale > 0)) throw invalidArgument('scale of the load', scale, 'more than 0');
  if (!Object.hasOwn(LOADS, name)) throw invalidArgument('load', name, Object.keys(LOADS).join(', '));
  return LOADS[name as LoadName].map(one => ({ ...one, rate: one.rate * scale }));
}
