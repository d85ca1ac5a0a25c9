import { RelistenError } from '../errors.ts';
import type { Arrival } from './arrival.ts';
import { type ClassOptions, type ClassPlan, planClass } from './classes.ts';
import { openClient } from './clients/open.ts';
import type { Seen } from './failure.ts';
import type { LoadOptions } from './load.ts';
import { parseTarget } from './target.ts';

/** Which classes the server can answer at all. */
export interface Rehearsal {
  classes: ClassOptions[];
  leftOut: { class: string; why: string }[];
}

/**
 * Sends one request of each class before the load starts. Classes that the server has no good answer for (no such path,
 * method not allowed) are left out if `mayLeaveOut`: their failures would drown those of the restarts.
 *
 * @throws RelistenError `ERR_REHEARSAL` when a class fails otherwise, or may not be left out, or when none is left
 */
export async function rehearse(options: LoadOptions, mayLeaveOut: boolean): Promise<Rehearsal> {
  const seen = await Promise.all(options.classes.map(one => tryOnce(one, options)));
  const rehearsal: Rehearsal = { classes: [], leftOut: [] };
  for (const [index, one] of options.classes.entries()) {
    const failure = seen[index];
    const plan = planClass(one);
    if (!failure) {
      rehearsal.classes.push(one);
      continue;
    }
    const why = `${what(plan, options)} ${words(failure)}`;
    if (!mayLeaveOut || failure.kind !== 'wrong-status') throw unfit(`${plan.name}: ${why}`);
    rehearsal.leftOut.push({ class: plan.name, why });
  }
  if (rehearsal.classes.length === 0) throw unfit(rehearsal.leftOut.map(one => `${one.class}: ${one.why}`).join('; '));
  return rehearsal;
}

function unfit(why: string): RelistenError {
  return new RelistenError(`Cannot prove anything: even without a restart, ${why}`, {
    code: 'ERR_REHEARSAL',
    op: 'prove',
  });
}

function what(plan: ClassPlan, options: LoadOptions): string {
  if (plan.kind === 'tcp') return 'the echo';
  return `${plan.method} ${plan.path ?? parseTarget(plan.target ?? options.target).path}`;
}

function words({ kind, code, detail }: Seen): string {
  if (kind === 'wrong-status') return `answers ${detail}`;
  return `ends as ${kind}${detail || code ? ` (${detail ?? code})` : ''}`;
}

/** One request of a class: undefined when it is answered well. */
function tryOnce(one: ClassOptions, options: LoadOptions): Promise<Seen | undefined> {
  const plan = planClass({ ...one, connections: 1 });
  const timeoutMs = options.timeoutMs ?? 10_000;
  return new Promise(resolve => {
    const observer = { succeed: () => done(), fail: (_arrival: Arrival, seen: Seen) => done(seen), count: () => {} };
    const client = openClient(plan, parseTarget(one.target ?? options.target), observer, options.generation ?? {});
    const timer = setTimeout(() => done({ kind: 'timeout', detail: `after ${timeoutMs} ms` }), timeoutMs);
    const done = (seen?: Seen) => {
      clearTimeout(timer);
      resolve(seen);
      client.close();
    };
    client.begin({ ...FIRST, deadline: timeoutMs });
  });
}

const FIRST: Arrival = {
  due: 0,
  from: 0,
  deadline: 0,
  phase: 'steady',
  stage: 'queued',
  reused: false,
  settled: false,
  giveUp: undefined,
};
