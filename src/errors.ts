import type { Inspection } from './inspection.ts';

/** What a {@link RelistenError} carries beside its message. */
export interface RelistenErrorFacts {
  /** Node's or the kernel's code where there is one (`EADDRINUSE`), else one of relisten's own (`ERR_…`). */
  code: string;
  /** The action that failed: the system call's name, or relisten's own verb. */
  op: string;
  /** The address in question, as people write it. */
  address?: string;
  /** What was seen in the way, where somebody looked. */
  report?: Inspection;
  /** The error underneath, if any. */
  cause?: unknown;
}

/**
 * The one error that relisten throws on purpose.
 *
 * The message names the action, the object, and what is so:
 * `Cannot listen on 127.0.0.1:3000: in use by node server.js (pid 4242)`. docs/errors.md says for each code what to do.
 */
export class RelistenError extends Error implements RelistenErrorFacts {
  override readonly name = 'RelistenError';
  readonly code: string;
  readonly op: string;
  // Declared only: a fact that nobody gave is no property, and is not printed.
  declare readonly address?: string;
  /** What to do about it, in sentences: that of the report. */
  declare readonly advice?: readonly string[];
  /** Not enumerable: an error that nobody catches would be printed with a page of it. */
  declare readonly report?: Inspection;

  constructor(message: string, facts: RelistenErrorFacts) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = facts.code;
    this.op = facts.op;
    if (facts.address !== undefined) this.address = facts.address;
    if (facts.report === undefined) return;
    this.advice = facts.report.advice;
    Object.defineProperty(this, 'report', { value: facts.report });
  }
}

/**
 * An argument that nobody can use: says what was given and what is accepted.
 *
 * @param what the thing that the caller named, e.g. `port`
 */
export function invalidArgument(what: string, given: unknown, accepted: string): RelistenError {
  const shown = typeof given === 'string' ? JSON.stringify(given) : String(given);
  return new RelistenError(`Invalid ${what}: ${shown}, expected ${accepted}`, {
    code: 'ERR_INVALID_ARG_VALUE',
    op: 'validate',
  });
}
