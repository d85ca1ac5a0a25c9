import { RelistenError } from '../errors.ts';
import type { Inspection, ProcessFacts } from '../inspection.ts';
import { codeOf, describeErrno, errnoOf } from '../kernel/errno.ts';

/** What errors call the action and the address. */
export interface Named {
  op: 'bind' | 'listen';
  address: string;
}

/**
 * `Cannot listen on 127.0.0.1:3000: in use by node server.js (pid 4242, started 14:03 in /srv/app)`.
 *
 * @param prefix stands in front of the reason
 */
export function bindError({ op, address }: Named, cause: unknown, report?: Inspection, prefix = ''): RelistenError {
  const code = codeOf(cause) ?? 'EADDRINUSE';
  const why = report ? reasonOf(report) : describeErrno(errnoOf(code)).meaning;
  return new RelistenError(`Cannot ${wordsOf(op)} ${address}: ${prefix}${why}`, { code, op, address, cause, report });
}

/** @throws RelistenError `ABORT_ERR` */
export function throwIfAborted({ op, address }: Named, signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  const message = `Cannot ${wordsOf(op)} ${address}: aborted`;
  throw new RelistenError(message, { code: 'ABORT_ERR', op, address, cause: signal.reason });
}

function wordsOf(op: Named['op']): string {
  return op === 'listen' ? 'listen on' : 'bind';
}

/** What an inspection found, without the address, which stands in front already: `in use by node server.js (pid …)`. */
export function reasonOf({ address, summary }: Inspection): string {
  const match = /^(?:Port )?(\S+) is (.*)$/s.exec(summary);
  if (match && match[1] === address) return match[2] ?? summary;
  return summary.replace(/^(?:This|There) /, word => word.toLowerCase());
}

/** `node server.js (pid 4242, started 14:03 in /srv/app)`. */
export function describeProcess({ command, pid, startedAt, cwd }: ProcessFacts): string {
  const where = cwd === undefined ? '' : ` in ${cwd.replace(/\p{Cc}+/gu, '?')}`;
  return `${shorten(command)} (pid ${pid}, started ${clock(startedAt)}${where})`;
}

/** A command line cut to what fits into a sentence. */
export function shorten(command: string, length = 80): string {
  return command.length > length ? `${command.slice(0, length - 1)}…` : command;
}

/** Local time as `14:03`, or with `seconds`; with the date in front when it is not today's. Unix times in ms. */
export function clock(time: number, options: { now?: number; seconds?: boolean } = {}): string {
  const date = new Date(time);
  const digits = options.seconds ? 8 : 5;
  // Sweden writes dates and times as ISO 8601 does.
  const text = date.toLocaleTimeString('sv').slice(0, digits);
  const day = date.toLocaleDateString('sv');
  return day === new Date(options.now ?? Date.now()).toLocaleDateString('sv') ? text : `${day} ${text}`;
}
