import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { close } from '../kernel/fd.ts';
import { pipe } from '../kernel/pipe.ts';
import type { Reaper } from './reaper.ts';

/** What must go on for a generation when relisten is killed. Every descriptor stays the caller's. */
export interface Lifelines {
  /** The generation's main process, for people who look at the process table. */
  pid: number;
  /** Of its seccomp filter. */
  notifyFd: number | undefined;
  /** Pipes that relisten copies to its own stdout (1) and stderr (2). */
  taps: readonly { read: number; target: 1 | 2 }[];
}

/** The lifeline's first descriptor of its own: the pipe that tells of relisten's end. */
const END_FD = 3;
const SCRIPT = 'read -r _ <&3; exec "$@"';

/**
 * A shell that waits, beside a generation, for the end of relisten, and then becomes its guardian (guardian.ts). The end
 * is the end of a pipe whose other side only relisten has; nothing has to be caught, so SIGKILL counts.
 *
 * Where there is no /bin/sh there is no lifeline, and a killed relisten takes the generation's output and its later
 * bind(2) with it.
 *
 * @returns ends the lifeline, once nobody of the generation is left
 */
export function holdLifeline({ pid, notifyFd, taps }: Lifelines, reaper: Reaper): () => void {
  if (notifyFd === undefined && taps.length === 0) return () => {};
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
  return () => {
    child.kill('SIGKILL');
    close(end.write);
  };
}
