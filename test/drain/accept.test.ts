import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { needs } from '../tools.ts';

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

const { test } = needs('linux', 'root', 'netns', 'python3', 'ip');

/** What a client behind a slow link sees whose handshake was in progress when the drain began. */
async function slowHandshake(...server: string[]): Promise<string[]> {
  const command = ['-n', 'python3', fixture('slow-handshake.py'), process.execPath, fixture('drain-on-line.js')];
  const { stdout } = await promisify(execFile)('unshare', [...command, '10.9.0.1', ...server]);
  return stdout.trim().split('\n');
}

test('a handshake in progress is completed and answered, while no new one is begun', async () => {
  expect(await slowHandshake()).toEqual(['the handshake in progress: HTTP/1.1 200 OK', 'the newcomer: no answer']);
});

test('a listener that others are said to hold is closed at once', async () => {
  // Nobody does hold it here: so the kernel answers with RST, and what is in progress is lost.
  expect(await slowHandshake('shared')).toEqual(['the handshake in progress: reset', 'the newcomer: flags 0x14']);
});
