import type { RestartRecord, Verdict } from './proof.ts';
import type { LoadResult } from './result.ts';

/** What the verdict depends on. */
export interface Evidence {
  load: Pick<LoadResult, 'due' | 'ok' | 'failed'>;
  restarts: Pick<RestartRecord, 'ok'>[];
  /** How many restarts were asked for. */
  wanted: number;
  /** How many failed requests are all right. */
  allow: number;
}

/**
 * Whether the restarts went unnoticed. The first row that holds decides:
 *
 * | seen | verdict |
 * |---|---|
 * | not one good answer | failed: nothing was measured |
 * | a restart failed | failed |
 * | fewer restarts than wanted | failed: stopped early |
 * | more failed requests than allowed | failed |
 * | anything else | ok |
 *
 * Requests that failed outside restarts count as well: a server that loses them all the time proves nothing.
 */
export function judge({ load, restarts, wanted, allow }: Evidence): Verdict {
  const broken = restarts.filter(({ ok }) => !ok).length;
  const lost = `${count(load.failed)} of ${count(load.due)} requests failed`;
  const verdict = (ok: boolean, reason: string): Verdict => ({
    ok,
    exitCode: ok ? 0 : 1,
    failed: load.failed,
    allowed: allow,
    reason,
  });
  if (load.ok === 0) return verdict(false, 'Not one request was answered, so nothing was measured');
  if (broken > 0) return verdict(false, `${broken} of ${restarts.length} restarts failed; ${lost}`);
  if (restarts.length < wanted)
    return verdict(false, `Stopped after ${restarts.length} of ${wanted} restarts; ${lost}`);
  if (load.failed > allow) return verdict(false, allow > 0 ? `${lost}, ${count(allow)} were allowed` : lost);
  const inAll = `${restarts.length} ${restarts.length === 1 ? 'restart' : 'restarts'}`;
  if (load.failed > 0) return verdict(true, `${lost} in ${inAll}, ${count(allow)} were allowed`);
  return verdict(true, `None of ${count(load.due)} requests failed in ${inAll}`);
}

/** A number as people read it. */
export function count(number: number): string {
  return number.toLocaleString('en-US');
}
