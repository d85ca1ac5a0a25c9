import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { close, isCloexec } from '../../src/kernel/fd.ts';
import {
  acceptSeqpacket,
  connectSeqpacket,
  listenSeqpacket,
  MAX_FDS,
  type Received,
  receiveFds,
  sendFds,
  seqpacketPair,
} from '../../src/kernel/scm-rights.ts';
import { peerCredentials } from '../../src/kernel/socket.ts';

const openFds = () => readdirSync('/proc/self/fd').length;

/** RLIMIT_NOFILE of this process, soft. */
function setFdLimit(soft: number): void {
  const run = spawnSync('prlimit', ['--pid', String(process.pid), `--nofile=${soft}:`], { encoding: 'utf8' });
  if (run.status !== 0) throw new Error(run.stderr);
}

let folder: string;
let opened: number[];
const own = (fd: number) => {
  opened.push(fd);
  return fd;
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'relisten-scm-'));
  opened = [];
});

afterEach(() => {
  for (const fd of opened) close(fd);
  rmSync(folder, { recursive: true });
});

function pair(): [number, number] {
  const [a, b] = seqpacketPair();
  return [own(a), own(b)];
}

function received(answer: ReturnType<typeof receiveFds>): Received {
  if (typeof answer === 'string') throw new Error(`nothing received: ${answer}`);
  answer.fds.forEach(own);
  return answer;
}

describe('a message with descriptors', () => {
  test('arrives with duplicates that are CLOEXEC and refer to the same files', () => {
    const [a, b] = pair();
    const file = join(folder, 'file');
    writeFileSync(file, 'x');
    const fd = own(openSync(file, 'r'));
    expect(sendFds(a, Buffer.from('hello'), [fd, fd])).toBe(true);
    const message = received(receiveFds(b, 64));
    expect(message.payload.toString()).toBe('hello');
    expect(message.fds).toHaveLength(2);
    for (const one of message.fds) {
      expect(one).not.toBe(fd);
      expect(isCloexec(one)).toBe(true);
      expect(fstatSync(one).ino).toBe(fstatSync(fd).ino);
    }
  });

  test('may carry 253 of them, and no more', () => {
    const [a, b] = pair();
    const many = Array<number>(MAX_FDS).fill(a);
    expect(sendFds(a, Buffer.from('x'), many)).toBe(true);
    expect(received(receiveFds(b, 1)).fds).toHaveLength(MAX_FDS);
    expect(() => sendFds(a, Buffer.from('x'), [...many, a])).toThrow(/at most 253/);
  });

  test('keeps its borders', () => {
    const [a, b] = pair();
    sendFds(a, Buffer.from('one'));
    sendFds(a, Buffer.from('two'), [a]);
    expect(received(receiveFds(b, 64))).toEqual({ payload: Buffer.from('one'), fds: [] });
    expect(received(receiveFds(b, 64)).fds).toHaveLength(1);
    expect(receiveFds(b, 64)).toBe('again');
  });

  test('that is longer than asked for is an error, and its descriptors are closed', () => {
    const [a, b] = pair();
    sendFds(a, Buffer.from('too long'), [a, a]);
    const before = openFds();
    expect(() => receiveFds(b, 3)).toThrow(/longer than 3 bytes/);
    expect(openFds()).toBe(before);
  });

  test('that the fd table has no room for is an error, and what came is closed', () => {
    const [a, b] = pair();
    sendFds(a, Buffer.from('x'), Array<number>(100).fill(a));
    const before = openFds();
    const report = process.report.getReport() as { userLimits: { open_files: { soft: number } } };
    // Room for some, so that the limit can be lifted again, but not for all.
    const taken = new Set(readdirSync('/proc/self/fd').map(Number));
    let room = 0;
    let soft = 0;
    while (room < 40) if (!taken.has(soft++)) room++;
    setFdLimit(soft);
    try {
      expect(() => receiveFds(b, 1)).toThrow(/no room for more than \d+ of its file descriptors/);
    } finally {
      setFdLimit(report.userLimits.open_files.soft);
    }
    expect(openFds()).toBe(before);
  });

  test('is refused with false while the queue is full, and goes through afterwards', () => {
    const [a, b] = pair();
    const payload = Buffer.alloc(32_000);
    let sent = 0;
    while (sendFds(a, payload)) sent++;
    expect(sent).toBeGreaterThan(2);
    received(receiveFds(b, payload.length));
    expect(sendFds(a, payload)).toBe(true);
  });
});

describe('the end of a connection', () => {
  test('is told after what was sent before it', () => {
    const [a, b] = seqpacketPair();
    own(b);
    sendFds(a, Buffer.from('last'));
    close(a);
    expect(received(receiveFds(b, 64)).payload.toString()).toBe('last');
    expect(receiveFds(b, 64)).toBe('end');
  });

  test('is told after it also where the other side has left something unread', () => {
    const [a, b] = seqpacketPair();
    own(b);
    sendFds(b, Buffer.from('unread'));
    sendFds(a, Buffer.from('last'));
    close(a);
    expect(received(receiveFds(b, 64)).payload.toString()).toBe('last');
    expect(receiveFds(b, 64)).toBe('end');
  });

  test('makes sending an error, not a signal', () => {
    const [a, b] = seqpacketPair();
    own(b);
    close(a);
    expect(() => sendFds(b, Buffer.from('x'))).toThrow(/EPIPE/);
  });

  test('closes descriptors that nobody received', () => {
    const [a, b] = seqpacketPair();
    const file = join(folder, 'file');
    const fd = openSync(file, 'w');
    sendFds(a, Buffer.from('x'), [fd]);
    closeSync(fd);
    close(a);
    const before = openFds();
    close(b);
    expect(openFds()).toBe(before - 1);
  });
});

describe('a path', () => {
  test('is listened on, connected to and accepted from, and each side knows who the other is', () => {
    const path = join(folder, 's');
    const listener = own(listenSeqpacket(path));
    expect(acceptSeqpacket(listener)).toBeUndefined();
    const client = own(connectSeqpacket(path));
    const served = acceptSeqpacket(listener);
    if (served === undefined) throw new Error('nobody waits');
    own(served);
    for (const fd of [listener, client, served]) expect(isCloexec(fd)).toBe(true);
    const me = { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() };
    expect(peerCredentials(client)).toEqual(me);
    expect(peerCredentials(served)).toEqual(me);
    sendFds(client, Buffer.from('x'));
    expect(received(receiveFds(served, 8)).payload.toString()).toBe('x');
  });

  test('that nobody listens on refuses, and leaves no descriptor behind', () => {
    const before = openFds();
    expect(() => connectSeqpacket(join(folder, 'nobody'))).toThrow(/ENOENT/);
    writeFileSync(join(folder, 'file'), readFileSync('/proc/self/comm'));
    expect(() => listenSeqpacket(join(folder, 'file'))).toThrow(/EADDRINUSE/);
    expect(openFds()).toBe(before);
  });
});
