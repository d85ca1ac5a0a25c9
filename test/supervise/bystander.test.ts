import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { expect } from 'vitest';
import { isDebugger, isNamedAfter, isPrivate } from '../../src/supervise/bystander.ts';
import { needs } from '../tools.ts';

const { test } = needs('linux');

test.each([
  ['/tmp/tsx-0/4711.pipe', true],
  ['/tmp/nitro/worker-4711-1-2.sock', true],
  [`${tmpdir()}/4711`, true],
  ['/tmp/app.sock', false],
  ['/tmp/app-14711.sock', false],
  ['/tmp/4711/app.sock', false],
  ['/run/app-4711.sock', false],
  ['/tmpfiles/4711.sock', false],
  ['\0app-worker-4711-1', true],
  ['\0app', false],
  ['\0app-14711', false],
])('whether process 4711 alone can mean %j: %s', (path, expected) => {
  expect(isPrivate({ family: 'unix', path }, 4711)).toBe(expected);
});

test.each([
  ['/run/app-4711.sock', true],
  ['/run/stats.sock.4711.tmp', true],
  ['/run/4711/app.sock', false],
  ['/run/app-14711.sock', false],
  ['\0app-4711', true],
])('whether %j is named after process 4711: %s', (path, expected) => {
  expect(isNamedAfter({ family: 'unix', path }, 4711)).toBe(expected);
});

test('a number that a version may have is no pid', () => {
  expect(isNamedAfter({ family: 'unix', path: '/run/php8.2-fpm.sock' }, 8)).toBe(false);
});

test('TCP is never private', () => {
  expect(isPrivate({ family: 'IPv4', host: '127.0.0.1', port: 4711 }, 4711)).toBe(false);
  expect(isNamedAfter({ family: 'IPv4', host: '127.0.0.1', port: 4711 }, 4711)).toBe(false);
});

test.each([
  [['--inspect'], '', 9229],
  [['--inspect=9230'], '', 9230],
  [['--inspect=127.0.0.1:9231'], '', 9231],
  [['--inspect=localhost'], '', 9229],
  [['--inspect=[::1]:9232'], '', 9232],
  [['--inspect-port=9233'], '', 9233],
  [[], '--no-warnings --inspect=9234', 9234],
])('the port of the debugger of node %j, NODE_OPTIONS %j, is %d', async (options, NODE_OPTIONS, port) => {
  const script = 'process.send(0); process.on("message", () => {})';
  const child = spawn(process.execPath, [...options, '-e', script], {
    env: { ...process.env, NODE_OPTIONS },
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  try {
    await once(child, 'message');
    const at = (number: number) => isDebugger({ family: 'IPv4', host: '127.0.0.1', port: number }, child.pid ?? 0);
    expect([at(port), at(port + 10), isDebugger({ family: 'unix', path: '/run/app' }, child.pid ?? 0)]).toEqual([
      true,
      false,
      false,
    ]);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});
