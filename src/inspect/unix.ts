import { once } from 'node:events';
import { unlinkSync } from 'node:fs';
import { createConnection } from 'node:net';
import { resolve } from 'node:path';
import type { SocketFacts } from '../inspection.ts';
import { codeOf } from '../kernel/errno.ts';
import { hasLibc } from '../kernel/libc.ts';
import { readUnixTable } from '../kernel/proc-net.ts';
import { fileAt } from '../kernel/stat.ts';
import { dumpUnix, fileIdentity, sameFile } from '../kernel/unix-diag.ts';
import type { Facts } from './facts.ts';
import { findOwners } from './owners.ts';
import { NOT_TRIED } from './tcp.ts';
import { tryBind } from './trial.ts';

export type UnixFacts = Pick<
  Facts,
  'target' | 'listeners' | 'blockers' | 'counts' | 'trials' | 'file' | 'connect' | 'unseen'
>;

/** Looks at a unix path or abstract name: what is there, who listens, and what a bind would do. */
export async function inspectUnix(path: string, everyOwner: boolean): Promise<UnixFacts> {
  const target = { family: 'unix', path } as const;
  const found = readSockets(path);
  const owners = findOwners(
    [],
    found.map(({ inode }) => inode),
    everyOwner,
  );
  for (const socket of found) socket.owners = owners.get(socket.inode) ?? [];
  const listeners = found.filter(({ state }) => state === 'LISTEN');
  const facts: UnixFacts = {
    target,
    listeners,
    blockers: found.filter(({ state }) => state !== 'LISTEN'),
    counts: listeners.length > 0 ? { LISTEN: listeners.length } : {},
    trials: [],
    unseen: [],
  };
  const abstract = path.startsWith('\0');
  if (!abstract) facts.file = kindAt(path);
  // A socket of another network namespace is in no table, but answers by its path.
  if (facts.file === 'socket' && found.length === 0) facts.connect = { code: await tryConnect(path) };
  if (hasLibc()) facts.trials = [tryUnixBind(path, facts.file)];
  else facts.unseen.push(NOT_TRIED);
  return facts;
}

function kindAt(path: string): 'absent' | 'socket' | 'other' {
  try {
    const file = fileAt(path);
    if (!file) return 'absent';
    return file.isSocket() ? 'socket' : 'other';
  } catch {
    return 'absent';
  }
}

/** A file at the path refuses every bind (unix(7), EADDRINUSE); where there is none, the one that the trial makes goes. */
function tryUnixBind(path: string, file: Facts['file']): Facts['trials'][number] {
  const host = path;
  if (file === 'socket' || file === 'other') return { host, reuse: 'none', code: 'EADDRINUSE' };
  const code = tryBind({ family: 'unix', path }, 'none');
  if (code === undefined && file === 'absent') unlinkSync(path);
  return code === undefined ? { host, reuse: 'none' } : { host, reuse: 'none', code };
}

/** Whoever listens sees a connection that is closed at once. */
async function tryConnect(path: string): Promise<string | undefined> {
  const socket = createConnection(path);
  try {
    await once(socket, 'connect');
    return undefined;
  } catch (error) {
    return codeOf(error);
  } finally {
    socket.destroy();
  }
}

/** Sockets with this name that listen or are bound only. */
function readSockets(path: string): SocketFacts[] {
  const toFacts = ({
    state,
    inode,
    uid,
  }: {
    state: SocketFacts['state'];
    inode: number;
    uid?: number | undefined;
  }) => ({
    local: { family: 'unix' as const, path },
    state,
    inode,
    uid: uid ?? 0,
    owners: [],
  });
  const isThis = (name: string | undefined) =>
    name !== undefined && (path.startsWith('\0') ? name === path : resolve(name) === resolve(path));
  try {
    const file = fileIdentity(path);
    return dumpUnix()
      .filter(socket => (file && socket.file ? sameFile(file, socket.file) : isThis(socket.path)))
      .map(toFacts);
  } catch {
    const waiting = readUnixTable().filter(({ state }) => state !== 'ESTABLISHED');
    return waiting.filter(socket => isThis(socket.path)).map(toFacts);
  }
}
