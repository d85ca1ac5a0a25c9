import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { dumpTcp } from '../../src/kernel/sock-diag.ts';
import { ask, type Exchange, httpGet } from './clients.ts';
import { type RunOptions, Supervised } from './harness.ts';

/** A server that listens wherever it is told; see there. */
export const LISTENS_PY = fileURLToPath(new URL('../fixtures/servers/listens.py', import.meta.url));
export const LISTENS = ['python3', LISTENS_PY];

/** Runs it; its addresses are separated by blanks. */
export function runListens(listens: string, options: RunOptions = {}, command = LISTENS): Supervised {
  return new Supervised(command, { ...options, env: { LISTENS: listens, ...options.env } });
}

/** Inodes of the listeners at a port, in order: a listener that was bound anew has another one. */
export function listenersAt(port: number): number[] {
  const found = dumpTcp({ localPort: port, states: ['LISTEN'] });
  return found.map(({ inode }) => inode).sort((a, b) => a - b);
}

/** The addresses of a program that looks at all of them, as vite does, and listens at the last. */
export function looking(port: number, ...hosts: string[]): string {
  const serves = hosts.pop();
  return [...hosts.map(host => `?${host}:${port}`), `${serves}:${port}`].join(' ');
}

/** The generation must have been ready before the one before it was told to end. */
export function expectOverlap(run: Supervised, generation: number): void {
  const at = (number: number, state: string) =>
    run.events.findIndex(event => event.type === 'state' && event.generation === number && event.state === state);
  expect(at(generation, 'ready')).toBeLessThan(at(generation - 1, 'draining'));
}

/** What it answers. */
export function whoAnswered(answer: string): { generation: number; pid: number } {
  const [generation, pid] = answer.slice(answer.indexOf('\r\n\r\n') + 4).split(' ');
  return { generation: Number(generation), pid: Number(pid) };
}

/** Which generation answers there. */
export async function generationAt(port: number): Promise<number> {
  const { answer } = await ask({ port, host: '127.0.0.1' }, httpGet);
  return whoAnswered(answer).generation;
}

export const exchange: Exchange = httpGet;
