import type { Gap, Latency } from './result.ts';

/**
 * The answered requests, in the order of their answers: columns that grow by doubling.
 * Exact rather than a histogram: ten minutes at 1,500 requests/s take 20 MB.
 */
export class Samples {
  length = 0;
  /** When the answer was whole: milliseconds since the load started. */
  at = new Float64Array(1024);
  latency = new Float32Array(1024);
  classIndex = new Uint8Array(1024);
  phaseIndex = new Uint8Array(1024);

  add(at: number, latency: number, classIndex: number, phaseIndex: number): void {
    if (this.length === this.at.length) this.#grow();
    this.at[this.length] = at;
    this.latency[this.length] = latency;
    this.classIndex[this.length] = classIndex;
    this.phaseIndex[this.length] = phaseIndex;
    this.length += 1;
  }

  /** The latencies of the samples that `wanted` picks by index, in no order. */
  latencies(wanted: (index: number) => boolean): Float32Array {
    const picked = new Float32Array(this.length);
    let count = 0;
    for (let index = 0; index < this.length; index += 1) {
      if (wanted(index)) picked[count++] = this.latency[index] ?? 0;
    }
    return picked.subarray(0, count);
  }

  #grow(): void {
    const size = this.at.length * 2;
    this.at = copied(this.at, new Float64Array(size));
    this.latency = copied(this.latency, new Float32Array(size));
    this.classIndex = copied(this.classIndex, new Uint8Array(size));
    this.phaseIndex = copied(this.phaseIndex, new Uint8Array(size));
  }
}

function copied<T extends { set(from: ArrayLike<number>): void }>(from: ArrayLike<number>, to: T): T {
  to.set(from);
  return to;
}

/** Percentiles by nearest rank, rounded to microseconds. Sorts `latencies` in place. */
export function latencyOf(latencies: Float32Array): Latency {
  latencies.sort();
  const rank = (share: number): number => rounded(latencies[Math.max(0, Math.ceil(latencies.length * share) - 1)] ?? 0);
  return { p50: rank(0.5), p90: rank(0.9), p99: rank(0.99), max: rank(1) };
}

/** Milliseconds to microsecond precision. */
export function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** The longest time without a sample that `wanted` picks, from the load's start to its end. */
export function gapOf(samples: Samples, durationMs: number, wanted: (index: number) => boolean): Gap {
  let longest: Gap = { ms: 0, at: 0 };
  let last = 0;
  const reach = (answered: number) => {
    // Answers to the last arrivals come when nothing is due any more: no gap of the server's.
    const at = Math.min(answered, durationMs);
    if (at - last > longest.ms) longest = { ms: at - last, at: last };
    last = at;
  };
  for (let index = 0; index < samples.length; index += 1) {
    if (wanted(index)) reach(samples.at[index] ?? 0);
  }
  reach(durationMs);
  return { ms: rounded(longest.ms), at: rounded(longest.at) };
}
