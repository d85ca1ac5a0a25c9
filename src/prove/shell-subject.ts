import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Subject } from './subject.ts';

/** How much of what the command says is kept for the report. */
const OUTPUT_BYTES = 2000;

/**
 * A server that something else restarts: `command` is handed to `sh -c`, and its exit with 0 says that the restart is
 * over. It gets a process group of its own, which an abort ends with SIGTERM.
 *
 * @param leastMs how long a restart lasts at least, in ms: `kill -HUP` exits when nothing has happened yet
 */
export function shellSubject(command: string, leastMs: number): Subject {
  return {
    restartedBy: command,
    events: [],
    close: async () => {},
    async restart(signal) {
      signal.throwIfAborted();
      const least = delay(leastMs, undefined, { signal });
      least.catch(() => {});
      // Its own group, so that an abort reaches what the shell started.
      const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', chunk => (output = (output + chunk).slice(-OUTPUT_BYTES)));
      }
      const end = () => child.pid !== undefined && process.kill(-child.pid, 'SIGTERM');
      signal.addEventListener('abort', end, { once: true });
      try {
        // Not `close`: a server that the command starts in the background may keep its pipes open for good.
        const [code, killedBy] = await once(child, 'exit');
        signal.removeEventListener('abort', end);
        signal.throwIfAborted();
        await least;
        if (code === 0) return { ok: true };
        return { ok: false, detail: `${killedBy ?? `exit code ${code}`}: ${output.trim()}`.replace(/: $/, '') };
      } finally {
        signal.removeEventListener('abort', end);
        child.stdout.destroy();
        child.stderr.destroy();
      }
    },
  };
}
