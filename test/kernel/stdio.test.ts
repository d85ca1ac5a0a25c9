import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { text } from 'node:stream/consumers';
import { expect } from 'vitest';
import { close } from '../../src/kernel/fd.ts';
import { pipe } from '../../src/kernel/pipe.ts';
import { needs } from '../tools.ts';

const linux = needs('linux');
const built = (path: string) => JSON.stringify(new URL(`../../dist/${path}`, import.meta.url));

/** Says more than any pipe or terminal holds, and that it goes on; once stdin ends, a last line. */
const SCRIPT = `
  import { flushOutput, unblockOutput } from ${built('kernel/stdio.js')};
  import { talk } from ${built('cli/report.js')};
  unblockOutput();
  for (let line = 0; line < 3_000; line++) talk('x'.repeat(999));
  console.log('goes on');
  process.stdin.resume().on('end', async () => {
    await flushOutput(Number(process.argv[1]));
    talk('the last');
    await flushOutput(Number(process.argv[1]));
    process.exit(7);
  });`;

/** @param under a command that runs it */
async function speaker(flushMs: number, stderr: number, under: string[] = []) {
  const argv = [...under, process.execPath, '--input-type=module', '-e', SCRIPT, String(flushMs)];
  const child = spawn(argv[0] ?? '', argv.slice(1), { stdio: ['pipe', 'pipe', stderr] });
  const { stdin, stdout } = child;
  if (!stdin || !stdout) throw new Error('no pipes');
  expect(String(await once(stdout, 'data'))).toBe('goes on\n');
  return async () => {
    stdin.end();
    await once(child, 'exit');
    return child.exitCode;
  };
}

linux.test('a pipe that nobody reads stops nobody, and who reads it again hears what is missing', async () => {
  const { read, write } = pipe();
  const end = await speaker(60_000, write);
  close(write);
  const heard = text(createReadStream('', { fd: read }));
  expect(await end()).toBe(7);
  const lines = (await heard).split('\n');
  const missing = lines.findIndex(line => line.startsWith('relisten: '));
  expect(lines.slice(missing)).toEqual([
    `relisten: ${3_000 - missing} lines are missing here: nobody read them`,
    'the last',
    '',
  ]);
});

linux.test('a reader is not waited for without end', async () => {
  const { read, write } = pipe();
  const end = await speaker(1, write);
  expect(await end()).toBe(7);
  close(read);
  close(write);
});

needs('linux', 'python3').test('a terminal that shows nothing stops nobody', async () => {
  const terminal = `
import pty, subprocess, sys
shows, says = pty.openpty()
sys.exit(subprocess.call(sys.argv[1:], stderr=says))`;
  const end = await speaker(1, 2, ['python3', '-c', terminal]);
  expect(await end()).toBe(7);
});
