import { spawn } from 'node:child_process';
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { close, setNonblocking } from '../kernel/fd.ts';
import { pipe } from '../kernel/pipe.ts';
import type { Reaper } from './reaper.ts';

/** What must go on for a generation when relisten is killed, or ends before the last process under the filter. Every descriptor stays the caller's. */
export interface Lifelines {
  /** The generation's main process, for people who look at the process table. */
  pid: number;
  /** Of its seccomp filter. */
  notifyFd: number | undefined;
  /** Pipes that relisten copies to its own stdout (1) and stderr (2). */
  taps: readonly { read: number; target: 1 | 2 }[];
}

/** What goes on without relisten, held while that lives. */
export interface Lifeline {
  /**
   * A call under the filter has been received, and is not answered at once: only by its id can it be answered when relisten
   * was killed, for no other descriptor is told of it again (seccomp_unotify(2)).
   */
  waits(id: bigint): void;
  /** Ends the lifeline, once nobody of the generation is left, nor anybody under its filter. */
  release(): void;
}

/** The lifeline's first descriptor of its own: the pipe that tells of relisten's end, and of what waits then. */
const END_FD = 3;
const SCRIPT = 'read -r waiting <&3; exec "$@" $waiting';
const NOTHING: Lifeline = { waits: () => {}, release: () => {} };

/**
 * A shell that waits, beside a generation, for the end of relisten, and then becomes its guardian (guardian.ts). The end
 * is the end of a pipe whose other side only relisten has; nothing has to be caught, so SIGKILL counts.
 *
 * Where there is no /bin/sh there is no lifeline, and a killed relisten takes the generation's output and its later
 * bind(2) with it.
 */
export function holdLifeline({ pid, notifyFd, taps }: Lifelines, reaper: Reaper): Lifeline {
  if (notifyFd === undefined && taps.length === 0) return NOTHING;
  const end = pipe();
  const passed = [...(notifyFd === undefined ? [] : [notifyFd]), ...taps.map(tap => tap.read)];
  const firstTap = END_FD + 1 + (notifyFd === undefined ? 0 : 1);
  const guardian = [
    process.execPath,
    fileURLToPath(new URL('./guardian.js', import.meta.url)),
    String(pid),
    notifyFd === undefined ? '-' : String(END_FD + 1),
    ...taps.map(({ target }, index) => `${firstTap + index}:${target}`),
  ];
  const child = spawn('/bin/sh', ['-c', SCRIPT, 'relisten-lifeline', ...guardian], {
    stdio: ['ignore', 1, 2, end.read, ...passed],
    detached: true,
    env: { PATH: process.env.PATH },
  });
  close(end.read);
  child.on('error', () => {});
  child.unref();
  reaper.leave(child);
  setNonblocking(end.write, true); // we wait for no shell
  let released = false;
  return {
    waits(id) {
      if (released) return;
      try {
        // Without a newline, which would be the end.
        writeSync(end.write, `${id} `);
      } catch {
        // There is no shell, or it was killed: then nobody will answer.
      }
    },
    release() {
      released = true;
      child.kill('SIGKILL');
      close(end.write);
    },
  };
}
