import { fileURLToPath } from 'node:url';
import { type Exchange, httpGet } from './clients.ts';
import { type RunOptions, Supervised } from './harness.ts';

/** A server that listens wherever it is told; see there. */
export const LISTENS_PY = fileURLToPath(new URL('../fixtures/servers/listens.py', import.meta.url));
export const LISTENS = ['python3', LISTENS_PY];

/** Runs it; its addresses are separated by blanks. */
export function runListens(listens: string, options: RunOptions = {}, command = LISTENS): Supervised {
  return new Supervised(command, { ...options, env: { LISTENS: listens, ...options.env } });
}

/** What it answers. */
export function whoAnswered(answer: string): { generation: number; pid: number } {
  const [generation, pid] = answer.slice(answer.indexOf('\r\n\r\n') + 4).split(' ');
  return { generation: Number(generation), pid: Number(pid) };
}

export const exchange: Exchange = httpGet;
