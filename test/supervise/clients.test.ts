import { afterEach, expect, vi } from 'vitest';
import { close } from '../../src/kernel/fd.ts';
import { inodeOf } from '../../src/kernel/stat.ts';
import { clientsOn, hasAny } from '../../src/supervise/clients.ts';
import { connection, listener } from '../fixtures/tcp.ts';
import { needs } from '../tools.ts';

const { test } = needs('linux');
/** Whether the kernel has inet_diag: a module that a small system may lack. */
const kernel = vi.hoisted(() => ({ hasDiag: true }));
vi.mock('../../src/kernel/sock-diag.ts', async original => {
  const real = await original<typeof import('../../src/kernel/sock-diag.ts')>();
  return { ...real, hasSockDiag: () => kernel.hasDiag && real.hasSockDiag() };
});

const open: number[] = [];
afterEach(() => {
  for (const fd of open.splice(0)) close(fd);
});

test.each([true, false])('who is connected is found, and who has them: with sock_diag(7) %s', hasDiag => {
  kernel.hasDiag = hasDiag;
  const made = listener();
  const other = listener();
  const ends = [connection(made), connection(made)];
  open.push(made.fd, other.fd, ...ends.flatMap(({ client, server }) => [client, server]));
  const at = ({ port }: { port: number }) => clientsOn([{ address: { family: 'IPv4', host: '127.0.0.1', port } }]);
  expect(at(made)).toEqual(new Set(ends.map(({ server }) => inodeOf(server))));
  expect(at(other)).toEqual(new Set());
  expect(hasAny(process.pid, at(made))).toBe(true);
  expect(hasAny(1, at(made))).toBe(false);
});
