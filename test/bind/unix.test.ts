import { existsSync, lstatSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bindFd, listenFd } from '../../src/bind/bind-fd.ts';
import { removeStalePath, stateOfPath } from '../../src/bind/stale-path.ts';
import { close } from '../../src/kernel/fd.ts';
import { bind, listen, socket } from '../../src/kernel/socket.ts';

const open: number[] = [];
let folder = '';
let path = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'u-'));
  path = join(folder, 'app.sock');
});

afterEach(() => {
  for (const fd of open.splice(0)) close(fd);
  rmSync(folder, { recursive: true });
});

/** A unix socket with this name; its fd is closed after the test. */
function bound(name: string, listening: boolean): number {
  const fd = socket('unix');
  open.push(fd);
  bind(fd, { family: 'unix', path: name });
  if (listening) listen(fd, 1);
  return fd;
}

/** The file of a socket that is gone. */
function stale(name: string): void {
  close(bound(name, true));
  open.pop();
}

function fresh(): number {
  const fd = socket('unix');
  open.push(fd);
  return fd;
}

describe('stateOfPath', () => {
  it('tells a stale file from a live socket, also from one that does not listen yet', () => {
    expect(stateOfPath(path)).toBe('gone');
    stale(path);
    expect(stateOfPath(path)).toBe('stale');
    bound(`${path}.2`, true);
    expect(stateOfPath(`${path}.2`)).toBe('live');
    bound(`${path}.3`, false);
    expect(stateOfPath(`${path}.3`)).toBe('live');
    writeFileSync(`${path}.4`, '');
    expect(stateOfPath(`${path}.4`)).toBe('not-a-socket');
    expect(stateOfPath('\0anything')).toBe('live');
  });
});

describe('removeStalePath', () => {
  it('removes nothing but the file of a dead socket', () => {
    bound(path, true);
    expect(removeStalePath(path)).toBe(false);
    expect(existsSync(path)).toBe(true);
    writeFileSync(`${path}.txt`, 'precious');
    expect(removeStalePath(`${path}.txt`)).toBe(false);
    expect(removeStalePath(`${path}.missing`)).toBe(false);
    stale(`${path}.stale`);
    expect(removeStalePath(`${path}.stale`)).toBe(true);
    expect(existsSync(`${path}.stale`)).toBe(false);
  });
});

describe('bindFd to a unix path', () => {
  it('takes the place of a stale socket file', async () => {
    stale(path);
    await listenFd(fresh(), { family: 'unix', path }, { backlog: 1 });
    expect(stateOfPath(path)).toBe('live');
  });

  it('fails where somebody listens, and leaves the file alone', async () => {
    bound(path, true);
    await expect(bindFd(fresh(), { family: 'unix', path })).rejects.toMatchObject({
      code: 'EADDRINUSE',
      address: path,
    });
    expect(stateOfPath(path)).toBe('live');
  });

  it('fails where the path is a file, and leaves it alone', async () => {
    writeFileSync(path, 'precious');
    await expect(bindFd(fresh(), { family: 'unix', path })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    expect(lstatSync(path).isFile()).toBe(true);
  });

  it('fails where the folder does not exist', async () => {
    const missing = join(folder, 'none', 'app.sock');
    await expect(bindFd(fresh(), { family: 'unix', path: missing })).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('waits for a live owner of an abstract name if asked', async () => {
    const name = `\0relisten-test-${process.pid}`;
    const owner = bound(name, true);
    const told: string[] = [];
    await bindFd(
      fresh(),
      { family: 'unix', path: name },
      {
        interval: 5,
        onWait: ({ message }) => {
          told.push(message);
          open.splice(open.indexOf(owner), 1);
          close(owner);
        },
      },
    );
    expect(told).toEqual([`@relisten-test-${process.pid} is in use`]);
  });
});
