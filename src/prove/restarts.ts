import type { RestartRecord } from './proof.ts';
import type { GenerationResult } from './result.ts';

/**
 * Says of each restart which version answered first after it, and how long that took: each version belongs to the last
 * restart that was asked for before its first answer.
 */
export function withFirstAnswers(restarts: RestartRecord[], generations: GenerationResult[]): RestartRecord[] {
  return restarts.map((restart, index) => {
    const next = restarts[index + 1]?.at ?? Number.POSITIVE_INFINITY;
    const born = generations.find(({ firstAnswer }) => firstAnswer > restart.at && firstAnswer <= next);
    if (!born) return restart;
    return { ...restart, generation: born.generation, firstAnswerMs: round(born.firstAnswer - restart.at) };
  });
}

/** The middle and the ends of the times to the first answer, where any are known. */
export function firstAnswers(restarts: RestartRecord[]): { median: number; min: number; max: number } | undefined {
  const times = restarts.flatMap(({ firstAnswerMs }) => firstAnswerMs ?? []).sort((one, other) => one - other);
  const [min, max, median] = [times[0], times.at(-1), times[Math.ceil(times.length / 2) - 1]];
  if (min === undefined || max === undefined || median === undefined) return undefined;
  return { median, min, max };
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
