import { existsSync, readdirSync, readFileSync, unlinkSync, watch } from 'node:fs';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { codeOf } from '../kernel/errno.ts';
import { processIds } from '../kernel/process.ts';

/*
 * Where giver and receiver meet: a private directory (RELISTEN_DIR, mode 0700), in which the supervisor says who is
 * ready, and every thread that receives has a socket of its own.
 */

/** How often to look where the system cannot tell. */
const LOOK_AGAIN_MS = 20;

/** Who is ready, as the supervisor wrote it to ready.json before it told the old generation to stop. */
export interface Ready {
  generation: number;
  /** Its first process. */
  pid: number;
  /**
   * Its session (setsid(2)); every process of the generation is in it, unless it left. 0 where its leader is in a pid
   * namespace that this process cannot see (pid_namespaces(7)): then it says nothing about who belongs to it.
   */
  session: number;
}

/** Undefined where the file is not there, or says nothing that can be used. */
export function readReady(directory: string): Ready | undefined {
  try {
    const value: Partial<Ready> = JSON.parse(readFileSync(join(directory, 'ready.json'), 'utf8'));
    const { generation, pid, session } = value;
    const whole = [generation, pid, session].every(Number.isSafeInteger);
    const valid = whole && Number(generation) > 0 && Number(pid) > 0 && Number(session) >= 0;
    return valid ? { generation: Number(generation), pid: Number(pid), session: Number(session) } : undefined;
  } catch {
    return undefined;
  }
}

/** A generation that is ready and comes after this one. */
export function successorOf({ directory, generation }: { directory: string; generation: number }): Ready | undefined {
  const ready = readReady(directory);
  return ready && ready.generation > generation ? ready : undefined;
}

/**
 * Whether a process may receive for the ready generation.
 *
 * | uid     | pid or session                   | may |
 * |---------|----------------------------------|-----|
 * | another | any                              | no  |
 * | ours    | the pid that the supervisor named| yes |
 * | ours    | a process of the session it named| yes |
 * | ours    | session 0, and it named that     | no  |
 * | ours    | neither, or gone                 | no  |
 */
export function mayReceive(
  peer: { pid: number; uid: number },
  ready: Ready,
  uid: number,
  sessionOf = (pid: number) => processIds(pid)?.sid,
): boolean {
  if (peer.uid !== uid) return false;
  if (peer.pid === ready.pid) return true;
  return ready.session !== 0 && sessionOf(peer.pid) === ready.session;
}

/** A path for a receiver's socket that nobody has: a process may have several, in its threads or in one. */
export function receiverPath(directory: string, generation: number): string {
  for (let instance = 0; ; instance++) {
    const own = threadId === 0 && instance === 0 ? '' : `.${threadId}.${instance}`;
    const path = join(directory, `handoff-${generation}-${process.pid}${own}.sock`);
    if (!existsSync(path)) return path;
  }
}

/** Nobody is to be met in a directory that was removed: with the runtime directory, at the end of a login (pam_systemd(8)). */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** The sockets of a generation's receivers. */
export function receiverPaths(directory: string, generation: number): string[] {
  const name = new RegExp(`^handoff-${generation}(-[\\w.-]+)?\\.sock$`);
  return namesIn(directory)
    .filter(entry => name.test(entry))
    .sort()
    .map(entry => join(directory, entry));
}

/** What the processes of a generation put into the directory; who is killed leaves it there. */
export function meetingPaths(directory: string, generation: number): string[] {
  const name = new RegExp(`^(handoff|loading)-${generation}[-.]`);
  return namesIn(directory)
    .filter(entry => name.test(entry))
    .map(entry => join(directory, entry));
}

/**
 * Whether a process of the generation has said that it will receive, and does not yet: it listens, and loads what it needs
 * (`loading-<generation>-<pid>-<unique>`, see hook/hook.cts).
 */
export function isReceiverExpected(directory: string, generation: number): boolean {
  const name = new RegExp(`^loading-${generation}-(\\d+)-`);
  return namesIn(directory).some(entry => {
    const pid = name.exec(entry)?.[1];
    return pid !== undefined && existsSync(`/proc/${pid}`);
  });
}

/** Calls back whenever something has changed in a directory; returns the end of it. Does not keep the process alive. */
export function watchDirectory(directory: string, onChange: () => void): () => void {
  try {
    const watcher = watch(directory, { persistent: false }, onChange);
    watcher.on('error', () => watcher.close());
    return () => watcher.close();
  } catch {
    // No inotify instance is left for this user (inotify(7), max_user_instances).
    const timer = setInterval(onChange, LOOK_AGAIN_MS).unref();
    return () => clearInterval(timer);
  }
}

/** Removes a path that may be gone already. */
export function removePath(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}
