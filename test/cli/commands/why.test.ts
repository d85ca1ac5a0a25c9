import { afterEach, beforeAll, expect, test } from 'vitest';
import { close } from '../../../src/kernel/fd.ts';
import { inNetworkNamespace } from '../../fixtures/netns.ts';
import { relisten } from '../../fixtures/relisten.ts';
import { leaveTimeWait, listener } from '../../fixtures/tcp.ts';

const open: number[] = [];
beforeAll(() => {
  inNetworkNamespace();
});
afterEach(() => {
  for (const fd of open.splice(0)) close(fd);
});

test('a port that is in use: the sentence, the socket, the binds that were tried, the advice; and 1', async () => {
  const { fd, port } = listener();
  open.push(fd);
  const { code, stdout, stderr } = await relisten(['why', `127.0.0.1:${port}`]);
  expect(code).toBe(1);
  expect(stderr).toBe('');
  expect(stdout).toMatch(
    new RegExp(`^127\\.0\\.0\\.1:${port} is in use by .* \\(pid ${process.pid}, started \\d\\d:\\d\\d in .*\\)\n`),
  );
  expect(stdout).toMatch(new RegExp(`\n  LISTEN +127\\.0\\.0\\.1:${port} .*pid ${process.pid}, user `));
  expect(stdout).toMatch(/\n {2}a bind now +no option +SO_REUSEADDR +SO_REUSEPORT +both\n {2}127\.0\.0\.1 +EADDRINUSE/);
  expect(stdout).toContain(`\nStop it: relisten free 127.0.0.1:${port}`);
});

test('a free port: 0, and no colour where nobody looks', async () => {
  const { fd, port } = listener();
  close(fd);
  const { code, stdout } = await relisten(['why', `127.0.0.1:${port}`]);
  expect(code).toBe(0);
  expect(stdout.split('\n')[0]).toBe(`127.0.0.1:${port} is free`);
});

test('what is many is counted, not listed', async () => {
  const made = listener();
  for (let i = 0; i < 30; i++) leaveTimeWait(made);
  close(made.fd);
  const { stdout } = await relisten(['why', `127.0.0.1:${made.port}`]);
  expect(stdout.match(/\n {2}TIME_WAIT /g)).toHaveLength(10);
  expect(stdout).toContain('\n  … and 20 more sockets: 30 in TIME_WAIT in all\n');
});

test('--json prints the inspection', async () => {
  const { fd, port } = listener();
  open.push(fd);
  const { code, stdout } = await relisten(['why', '--json', `127.0.0.1:${port}`]);
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({
    address: `127.0.0.1:${port}`,
    reason: 'live-listener',
    listeners: [{ state: 'LISTEN', owners: [{ pid: process.pid }] }],
    counts: { LISTEN: 1 },
  });
});

test.each([['65536'], ['3000x'], ['[::1:3000'], ['']])('%j is no address: 2', async address => {
  const { code, stdout, stderr } = await relisten(['why', address]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^relisten: Invalid address: /);
});

test('colours where they are forced, none with NO_COLOR on a pipe', async () => {
  const { fd, port } = listener();
  open.push(fd);
  const why = (env: NodeJS.ProcessEnv) => relisten(['why', `127.0.0.1:${port}`], { env });
  expect((await why({ NO_COLOR: undefined, FORCE_COLOR: '1' })).stdout).toContain('\u001b[1m127.0.0.1');
  expect((await why({ NO_COLOR: '1', FORCE_COLOR: undefined })).stdout).not.toContain('\u001b');
});
