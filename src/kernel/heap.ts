import { setFlagsFromString } from 'node:v8';

/** From here on V8 collects garbage early instead of growing: for a process that mostly waits. */
export function keepHeapSmall(): void {
  setFlagsFromString('--optimize-for-size');
}
