import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { close } from '../../src/kernel/fd.ts';
import { fdOfSocket, likelyOwnersOf, ownersOf, socketInode } from '../../src/kernel/proc-fd.ts';
import { isOrphan } from '../../src/kernel/procfs.ts';
import { endSleepers, sleeper } from '../fixtures/sleeper.ts';
import { listener } from '../fixtures/tcp.ts';

const open: number[] = [];
afterEach(async () => {
  for (const fd of open.splice(0)) close(fd);
  await endSleepers();
});

function listening(): { fd: number; inode: number } {
  const { fd } = listener();
  open.push(fd);
  return { fd, inode: fstatSync(fd).ino };
}

const sorted = (numbers: readonly number[] | undefined) => numbers?.toSorted((a, b) => a - b);

describe.each([
  ['ownersOf', ownersOf],
  ['likelyOwnersOf', likelyOwnersOf],
])('%s', (_name, owners) => {
  test('finds every process that inherited a socket, and the one that it comes from', async () => {
    const { fd, inode } = listening();
    const pids = [process.pid, (await sleeper({ fd })).pid, (await sleeper({ fd })).pid];
    await sleeper();
    expect(sorted(owners(new Set([inode])).get(inode))).toEqual(sorted(pids));
    close(open.pop() ?? -1);
    // Not even this process, their parent, has it any more: siblings are told by chance only, one at least.
    expect(
      owners(new Set([inode]))
        .get(inode)
        ?.every(pid => pids.includes(pid) && pid !== process.pid),
    ).toBe(true);
  });

  test('finds the owners of several sockets', async () => {
    const [one, other] = [listening(), listening()];
    const child = await sleeper({ fd: other.fd });
    const found = owners(new Set([one.inode, other.inode]));
    expect(found.get(one.inode)).toEqual([process.pid]);
    expect(sorted(found.get(other.inode))).toEqual(sorted([process.pid, child.pid]));
  });

  test('finds a socket among very many descriptors', () => {
    const files = Array.from({ length: 700 }, () => openSync('/dev/null', 'r'));
    const { fd, inode } = listening();
    expect(fd).toBeGreaterThan(64);
    expect(owners(new Set([inode])).get(inode)).toEqual([process.pid]);
    files.forEach(closeSync);
  });

  test('finds nothing where nothing is looked for, or nobody has it', () => {
    expect(owners(new Set())).toEqual(new Map());
    expect(owners(new Set([0xffffffff]))).toEqual(new Map());
  });

  test('finds orphans that share a socket, although nothing relates them any more', async () => {
    const { fd, inode } = listening();
    const script = 'sleep 1000 <&3 & echo $!; sleep 1000 <&3 & echo $!';
    const shell = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore', fd], detached: true });
    let output = '';
    shell.stdout?.on('data', chunk => {
      output += chunk;
    });
    await once(shell, 'exit');
    await vi.waitFor(() => expect(output.trim().split('\n')).toHaveLength(2));
    const pids = output.trim().split('\n').map(Number);
    close(open.pop() ?? -1);
    try {
      expect(pids.map(isOrphan)).toEqual([true, true]);
      expect(sorted(owners(new Set([inode])).get(inode))).toEqual(sorted(pids));
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      await vi.waitFor(() => expect(pids.filter(isRunning)).toEqual([]));
      shell.stdout?.destroy();
    }
  });
});

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test('a descriptor tells its socket, and a socket its descriptor', () => {
  const { fd, inode } = listening();
  expect(socketInode('self', fd)).toBe(inode);
  expect(fdOfSocket(process.pid, inode)).toBe(fd);
  expect(fdOfSocket(process.pid, 0xffffffff)).toBeUndefined();
  expect(socketInode('self', 999_999)).toBeUndefined();
});
