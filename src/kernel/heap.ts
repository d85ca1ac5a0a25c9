import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** From here on V8 collects garbage early instead of growing: for a process that mostly waits. */
export function keepHeapSmall(): void {
  setFlagsFromString('--optimize-for-size');
}

let collect: (() => void) | undefined;

/** Collects garbage now, some 10 ms of work: before a long wait, in which V8 would keep what is dead. */
export function collectGarbage(): void {
  if (!collect) {
    // Only a context that is made while the flag is set has the function.
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
    setFlagsFromString('--no-expose-gc');
  }
  collect();
}
