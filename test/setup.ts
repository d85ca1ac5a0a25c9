import { chmodSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, expect } from 'vitest';
import { commandOf, leftFiles, markedProcesses } from '../scripts/leftovers.js';

/*
 * Runs in the process of every test file, before it. Gives it a temporary folder of its own and a mark in the environment
 * that its children inherit; when the file is done, fails it for every fd, process and file that it left.
 */

const base = tmpdir();
const folder = realpathSync(mkdtempSync(join(base, 'rl-')));
chmodSync(folder, 0o755); // Some servers run as another user, and have a folder of their own below.
const runtime = realpathSync(mkdtempSync(join(base, 'rl-')));
const mark = `${process.pid}-${Date.now()}`;
process.env.TMPDIR = folder;
process.env.XDG_RUNTIME_DIR = runtime;
process.env.RELISTEN_TEST_FILE = mark;

// libuv makes its signal pipe at first use and keeps it.
const ignore = () => undefined;
process.on('SIGWINCH', ignore);
process.off('SIGWINCH', ignore);
const before = openFds();

/** How long what was closed may take to be gone: kept-alive sockets of Node's fetch() live 4 s. */
const SETTLE_MS = 6_000;

afterAll(async () => {
  const deadline = performance.now() + SETTLE_MS;
  let left = leftovers();
  while (left.length > 0 && performance.now() < deadline) {
    await delay(20);
    left = leftovers();
  }
  for (const pid of leftPids()) kill(pid);
  for (const path of [folder, runtime]) rmSync(path, { recursive: true, force: true });
  expect(left, 'what the tests of this file left behind').toEqual([]);
});

function leftovers(): string[] {
  const fds = [...openFds()].filter(([fd, target]) => before.get(fd) !== target);
  return [
    ...fds.map(([fd, target]) => `fd ${fd} (${target})`),
    ...leftPids().map(pid => `process ${pid} (${commandOf(pid)})`),
    ...leftFiles(folder),
  ];
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}

/** Descendants that kept the mark, wherever they are now, and children that were started with an environment of their own. */
function leftPids(): number[] {
  return [...new Set([...markedProcesses(`RELISTEN_TEST_FILE=${mark}`), ...children()])];
}

function children(): number[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc/self/task').flatMap(thread => {
    try {
      return readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
    } catch {
      return [];
    }
  });
}

/** Number → what it is (proc(5)). The event loop's own, made at first use and kept, do not count. */
function openFds(): Map<string, string> {
  const fds = new Map<string, string>();
  if (process.platform !== 'linux') return fds;
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      if (!/^anon_inode:(\[eventpoll\]|inotify|\[io_uring\])|^\/dev\/|^\/proc\//.test(target)) fds.set(fd, target);
    } catch {
      // It was the one that read the folder.
    }
  }
  return fds;
}
