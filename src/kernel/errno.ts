import { getSystemErrorMap } from 'node:util';
import { RelistenError } from '../errors.ts';

/** A system call's failure: the call, its arguments, and what the errno means (errno(3)). */
export class KernelError extends RelistenError {
  /** Positive, as in errno.h. */
  readonly errno: number;

  constructor(call: string, errno: number, args: string) {
    const { name, meaning } = describeErrno(errno);
    super(`${call}(${args}) failed: ${meaning} (${name})`, { code: name, op: call });
    this.errno = errno;
  }
}

/** libuv has no name for these, and the kernel answers them to calls of ours (asm-generic/errno.h). */
const UNKNOWN_TO_LIBUV: Record<number, [name: string, meaning: string]> = {
  8: ['ENOEXEC', 'exec format error'],
  10: ['ECHILD', 'no child processes'],
  35: ['EDEADLK', 'resource deadlock would occur'],
  38: ['ENOSYS', 'function not implemented'],
  109: ['ETOOMANYREFS', 'too many references: cannot splice'],
  125: ['ECANCELED', 'operation canceled'],
};

/** Name and meaning of a positive errno. */
export function describeErrno(errno: number): { name: string; meaning: string } {
  const known = getSystemErrorMap().get(-errno) ?? UNKNOWN_TO_LIBUV[errno];
  return { name: known?.[0] ?? `E${errno}`, meaning: known?.[1] ?? `error ${errno}` };
}

/** The positive number of an errno's name, e.g. 98 for EADDRINUSE. */
export function errnoOf(name: string): number {
  for (const [number, [known]] of getSystemErrorMap()) if (known === name) return -number;
  const other = Object.entries(UNKNOWN_TO_LIBUV).find(([, [known]]) => known === name);
  return other ? Number(other[0]) : 5; // EIO: something failed, and nobody knows more
}

/** The code of whatever was thrown, for a `switch`; undefined where it has none. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** Whether it failed for want of something of which there may be enough in a moment. */
export function isShortage(error: unknown): boolean {
  return ['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EAGAIN'].includes(codeOf(error) ?? '');
}

/** Whether it failed for want of the right to look into a process (ptrace(2), "Ptrace access mode checking"). */
export function isForbidden(error: unknown): boolean {
  return ['EACCES', 'EPERM'].includes(codeOf(error) ?? '');
}

/** What a system call failed with, or undefined when it did not; anything else that is thrown goes on. */
export function failureOf(action: () => void): KernelError | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    if (error instanceof KernelError) return error;
    throw error;
  }
}
