import { readFileSync, writeFileSync } from 'node:fs';

/** Of the main thread, and so of the process where processes are listed (proc_pid_comm(5)). */
const PATH = '/proc/self/comm';

/**
 * Has the process be called something else.
 *
 * @param name at most 15 characters are kept (TASK_COMM_LEN)
 * @returns gives it back the name that it had
 */
export function nameMainThread(name: string): () => void {
  const before = readFileSync(PATH, 'utf8').replace(/\n$/, ''); // which only reading adds
  writeFileSync(PATH, name);
  return () => writeFileSync(PATH, before);
}
