import { constants, openSync } from 'node:fs';
import { close } from '../kernel/fd.ts';
import { pipe } from '../kernel/pipe.ts';
import { isInForeground } from '../kernel/process.ts';

/** What keys ask for. */
export interface KeyActions {
  restart(): void;
  status(): void;
  quit(): void;
  help(): void;
}

/** How often a job in the background looks whether it is in the foreground again. */
const LOOK_AGAIN_MS = 250;

export const KEYS_HINT = 'r restarts, s shows the status, q quits';

/** Whether somebody can press keys, and see what they do. */
export function hasKeyboard(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY && isInForeground();
}

/**
 * What the program gets as its stdin while relisten reads the keys: nothing comes, and it never ends, as some servers
 * end with their stdin. It is a pipe that is its own writer (fifo(7), O_RDWR), so it outlives relisten.
 */
export function silentInput(): number {
  const { read, write } = pipe();
  const fd = openSync(`/proc/self/fd/${read}`, constants.O_RDWR);
  close(read);
  close(write);
  return fd;
}

/**
 * Reads single keys from the terminal. What the terminal itself made of Ctrl-C, Ctrl-\ and Ctrl-Z goes to the whole
 * foreground job still.
 *
 * @returns gives the terminal back
 */
export function readKeys(actions: KeyActions): () => void {
  const { stdin } = process;
  const onData = (bytes: Buffer) => {
    for (const key of bytes.toString('latin1')) press(key);
  };
  const press = (key: string) => {
    if (key === 'r') actions.restart();
    else if (key === 's') actions.status();
    else if (key === 'q') actions.quit();
    else if (key === 'h' || key === '?') actions.help();
    else if (key === '\r')
      process.stderr.write('\n'); // to set apart what comes from what was
    else if (key === '\x03') process.kill(0, 'SIGINT');
    else if (key === '\x1c') process.kill(0, 'SIGQUIT');
    else if (key === '\x1a') suspend();
  };
  let isGrabbed = false;
  let later: NodeJS.Timeout | undefined;
  const release = () => {
    isGrabbed = false;
    stdin.off('data', onData);
    stdin.pause();
    if (!stdin.destroyed) stdin.setRawMode(false);
  };
  const grab = () => {
    clearTimeout(later);
    if (isGrabbed) return;
    if (!isInForeground()) {
      // Reading would stop us (SIGTTIN); and no signal tells a job that runs in the background of `fg`.
      later = setTimeout(grab, LOOK_AGAIN_MS).unref();
      return;
    }
    isGrabbed = true;
    stdin.setRawMode(true);
    stdin.on('data', onData);
    stdin.resume();
  };
  const suspend = () => {
    release();
    process.kill(0, 'SIGTSTP');
  };
  process.on('SIGCONT', grab);
  // The terminal may have gone.
  stdin.on('error', () => {});
  grab();
  return () => {
    process.off('SIGCONT', grab);
    clearTimeout(later);
    release();
  };
}
