import { descendants } from '../kernel/process.ts';
import { clientsOn, hasAny } from './clients.ts';
import { isWrapper } from './family.ts';
import type { HeldListener } from './holder.ts';
import type { Running } from './running.ts';

/** Looks at a few processes below the main one; all processes of the host are looked at ever more seldom. */
const FIRST_LOOK_MS = 50;
const SELDOM_LOOK_MS = 2_000;
/** The kernel ends a process at once, unless it cannot: proc_pid_stat(5), state D. */
const KILLED_MS = 5_000;
/** A wrapper whose children are gone normally follows them at once. */
const WRAPPER_GRACE_MS = 1_000;
const WRAPPER_LOOK_MS = 250;
/** Workers that follow their main process by themselves normally do so at once. */
const REST_GRACE_MS = 250;

export interface Ending {
  signal: NodeJS.Signals;
  /** How long it may take, in ms, before it is killed. */
  graceMs: number;
  /** Ends the grace at once. */
  hurry: AbortSignal;
  /** The held listeners of this generation. */
  listeners(): HeldListener[];
}

/**
 * Ends a generation: the stop signal to its server, then to those of its processes that outlive the main one and serve no
 * client, and at the deadline SIGKILL to all of it. Resolves when no process is left, or when not even SIGKILL has ended it.
 *
 * @returns how many processes had to be killed
 */
export async function endRunning(running: Running, ending: Ending): Promise<number> {
  const { signal, graceMs, hurry } = ending;
  // No turn of the event loop where there is a process: the new generation waits for what the old one still accepts.
  if (running.pid === undefined) await running.spawning?.catch(() => {}); // whoever started it knows by now
  if (running.pid === undefined) running.finish(); // never spawned
  let killed = 0;
  let last: NodeJS.Timeout | undefined;
  const kill = () => {
    killed = running.signalAll('SIGKILL');
    last ??= setTimeout(() => {
      killed -= running.giveUp();
    }, KILLED_MS);
  };
  running.signalServer(signal);
  const deadline = setTimeout(kill, graceMs);
  hurry.addEventListener('abort', kill);
  if (hurry.aborted) kill();
  const stopLooking = lookAfter(running, ending);
  await running.gone;
  stopLooking();
  clearTimeout(deadline);
  clearTimeout(last);
  hurry.removeEventListener('abort', kill);
  return killed;
}

/**
 * Reminds a wrapper that stays alone, while the main process lives; once it has ended, tells those that it has left behind,
 * and finds out when they have ended, too, where seccomp does not tell.
 */
function lookAfter(running: Running, { signal, listeners }: Ending): () => void {
  let timer: NodeJS.Timeout;
  let pauseMs = FIRST_LOOK_MS;
  let aloneSince: number | undefined;
  let endedSince: number | undefined;
  const look = () => {
    const mainEnded = running.exit !== undefined;
    if (mainEnded && running.family().length === 0) {
      running.finish();
      return;
    }
    if (mainEnded) endedSince ??= Date.now();
    if (endedSince !== undefined && Date.now() - endedSince >= REST_GRACE_MS) tellRest(running, signal, listeners());
    const alone = !mainEnded && isLoneWrapper(running.pid);
    aloneSince = alone ? (aloneSince ?? Date.now()) : undefined;
    if (aloneSince !== undefined && Date.now() - aloneSince >= WRAPPER_GRACE_MS) {
      running.signalAll(signal);
      aloneSince = Date.now();
    }
    if (mainEnded) pauseMs = Math.min(pauseMs * 2, SELDOM_LOOK_MS);
    timer = setTimeout(look, mainEnded ? pauseMs : WRAPPER_LOOK_MS);
  };
  timer = setTimeout(look, pauseMs);
  return () => clearTimeout(timer);
}

/**
 * The stop signal to those whose main process has ended without them: workers that go on accepting (php -S), helpers (squid's
 * pinger). Each gets it once, and none while it, or one below it, serves a client: a child that was forked for a connection
 * (sshd, socketserver.ForkingMixIn) finishes it. Where clients are not to be seen (another network namespace) nobody gets it.
 */
function tellRest(running: Running, signal: NodeJS.Signals, listeners: readonly HeldListener[]): void {
  const { untold } = running;
  if (untold.length === 0 || listeners.length === 0 || listeners.some(({ netns }) => netns !== undefined)) return;
  const clients = clientsOn(listeners);
  for (const pid of untold) {
    if (!descendants(pid).some(ids => hasAny(ids.pid, clients))) running.tell(pid, signal);
  }
}

function isLoneWrapper(pid: number | undefined): boolean {
  return pid !== undefined && isWrapper(pid) && descendants(pid).every(ids => isWrapper(ids.pid) || ids.zombie);
}
