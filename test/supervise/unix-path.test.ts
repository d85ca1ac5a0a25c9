import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { dumpUnix } from '../../src/kernel/unix-diag.ts';
import { UnixPath } from '../../src/supervise/unix-path.ts';

let directory: string;
let path: string;
let server: Server;
let inode: number;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'relisten-unix-path-'));
  path = join(directory, 'app.sock');
  server = createServer(socket => socket.end('hello')).listen(path);
  await once(server, 'listening');
  inode = dumpUnix().find(socket => socket.path === path)?.inode ?? 0;
});

afterEach(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

async function ask(): Promise<string> {
  const client = connect(path);
  const [answer] = await once(client, 'data');
  client.destroy();
  return String(answer);
}

test('puts the name back when somebody unlinks it', async () => {
  const kept = new UnixPath(path, inode);
  unlinkSync(path);
  await vi.waitFor(() => expect(existsSync(path)).toBe(true));
  expect(await ask()).toBe('hello');
  kept.close();
});

test("claims the name back from a newcomer's file", async () => {
  const kept = new UnixPath(path, inode);
  unlinkSync(path);
  writeFileSync(path, '');
  kept.claim();
  expect(await ask()).toBe('hello');
  kept.close();
});

test('hides the name until it is shown or claimed', async () => {
  const kept = new UnixPath(path, inode);
  for (const back of [() => kept.show(), () => kept.claim()]) {
    kept.hide();
    kept.restore();
    expect(existsSync(path)).toBe(false);
    back();
    expect(await ask()).toBe('hello');
  }
  kept.close();
});

test('leaves nothing behind', () => {
  const kept = new UnixPath(path, inode);
  kept.close();
  expect(readdirSync(directory)).toEqual([]);
});

test("leaves the name to a server that goes on, and another's file alone", () => {
  const kept = new UnixPath(path, inode);
  kept.leave();
  expect(readdirSync(directory)).toEqual(['app.sock']);
  const again = new UnixPath(path, inode);
  again.leave();
  unlinkSync(path);
  writeFileSync(path, 'mine');
  again.close();
  expect(readdirSync(directory)).toEqual(['app.sock']);
});
