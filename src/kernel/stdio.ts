import { constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { isatty, WriteStream } from 'node:tty';
import { fileOf } from './stat.ts';

/**
 * Has `process.stdout` and `process.stderr` never make this process wait for who reads them. Node writes to pipes and
 * terminals synchronously (process I/O in its documentation), so a reader that takes nothing any more, a pager or Ctrl-S at a
 * terminal, would stop everything else as well. From here on what is not taken is queued, in memory and without a bound: who
 * writes looks at `writableLength`, or at what `write()` returns.
 *
 * O_NONBLOCK belongs to the open file description, which others share (fcntl(2)): so each is opened anew, by
 * /proc/self/fd (proc(5)). What cannot be (a socket, ENXIO; another user's terminal, EACCES) stays as it is; files never wait.
 */
export function unblockOutput(): void {
  replace('stdout', 1);
  replace('stderr', 2);
}

/** Waits until what was written has been taken, but no longer than so many milliseconds. */
export async function flushOutput(withinMs: number): Promise<void> {
  const deadline = new Promise<void>(fulfil => setTimeout(fulfil, withinMs).unref());
  await Promise.race([deadline, Promise.all([process.stdout, process.stderr].map(taken))]);
}

function replace(name: 'stdout' | 'stderr', fd: number): void {
  try {
    const stream = openAnew(fd);
    if (stream) Object.defineProperty(process, name, { configurable: true, enumerable: true, value: stream });
  } catch {
    // As it was, then.
  }
}

function openAnew(fd: number): Socket | undefined {
  const isTerminal = isatty(fd);
  if (!isTerminal && !fileOf(fd).isFIFO()) return undefined;
  const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
  const own = openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  if (!isTerminal) return new Socket({ fd: own, readable: false, writable: true });
  const stream = new WriteStream(own);
  // Which Node makes blocking for terminals.
  const handle: unknown = Reflect.get(stream, '_handle');
  if (typeof handle === 'object' && handle !== null) Reflect.get(handle, 'setBlocking')?.call(handle, false);
  return stream;
}

function taken(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.destroyed || stream.writableLength === 0) return Promise.resolve();
  return new Promise(fulfil => stream.write('', () => fulfil()));
}
