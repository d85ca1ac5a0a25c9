import { closeSync, openSync, readSync } from 'node:fs';

/**
 * Bytes of another process's memory (proc_pid_mem(5)); fewer where less of it is there. Needs the right to ptrace it.
 *
 * @param pid or the id of one of its threads
 * @throws where the process is gone, or not to be looked into
 */
export function readMemory(pid: number, address: bigint, length: number): Buffer {
  const fd = openSync(`/proc/${pid}/mem`, 'r');
  try {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(fd, bytes, 0, length, address));
  } finally {
    closeSync(fd);
  }
}
