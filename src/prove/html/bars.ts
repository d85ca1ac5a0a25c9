import type { GenerationEvent } from '../proof.ts';

/** A stretch in which a generation stayed in one state. */
export interface Stretch {
  state: 'starting' | 'ready' | 'yielding' | 'draining' | 'failed';
  from: number;
  to: number;
}

/** A generation as a bar, in a row where it meets no other. */
export interface Bar {
  generation: string;
  row: number;
  stretches: Stretch[];
}

/** How much of the run the mark of a failed generation takes up, so that it can be seen. */
const FAILED_SHARE = 0.005;

/**
 * Turns changes of state into bars, in as few rows as hold them without overlap.
 * What began before the load is cut at its start, what goes on after it at its end.
 */
export function generationBars(events: GenerationEvent[], durationMs: number): Bar[] {
  const byGeneration = new Map<string, GenerationEvent[]>();
  for (const event of [...events].sort((one, other) => one.at - other.at)) {
    byGeneration.set(event.generation, [...(byGeneration.get(event.generation) ?? []), event]);
  }
  const rowEnds: number[] = [];
  const bars: Bar[] = [];
  for (const [generation, changes] of byGeneration) {
    const stretches = stretchesOf(changes, durationMs);
    const [first, last] = [stretches[0], stretches.at(-1)];
    if (!first || !last) continue;
    const free = rowEnds.findIndex(end => end <= first.from);
    const row = free === -1 ? rowEnds.length : free;
    rowEnds[row] = last.to;
    bars.push({ generation, row, stretches });
  }
  return bars;
}

function stretchesOf(changes: GenerationEvent[], durationMs: number): Stretch[] {
  const stretches: Stretch[] = [];
  for (const [index, { at, state }] of changes.entries()) {
    if (state === 'exited') continue;
    const end = state === 'failed' ? at + durationMs * FAILED_SHARE : (changes[index + 1]?.at ?? durationMs);
    const [from, to] = [Math.max(0, at), Math.min(durationMs, end)];
    if (to > from) stretches.push({ state, from, to });
  }
  return stretches;
}
