import { afterEach, expect, test, vi } from 'vitest';
import { arch } from '../../src/kernel/constants.ts';

afterEach(() => {
  vi.unstubAllGlobals();
});

/** A process of another architecture, for what asks for nothing else. */
function pretend(architecture: string): void {
  vi.stubGlobal('process', { ...process, arch: architecture });
}

// syscall_64.tbl, asm-generic/unistd.h, and linux/audit.h (EM_X86_64 62, EM_AARCH64 183, 64 bit, little endian).
test.each([
  ['x64', { SYS_bind: 49, SYS_listen: 50, SYS_seccomp: 317, AUDIT_ARCH: 0xc0000000 + 62 }],
  ['arm64', { SYS_bind: 200, SYS_listen: 201, SYS_seccomp: 277, AUDIT_ARCH: 0xc0000000 + 183 }],
])('%s has its own system call numbers, and those of pidfd that all share', (name, numbers) => {
  pretend(name);
  const shared = { SYS_pidfd_send_signal: 424, SYS_pidfd_open: 434, SYS_pidfd_getfd: 438 };
  expect(arch()).toMatchObject({ ...numbers, ...shared });
});

// accept, accept4; poll, ppoll; select, pselect6; epoll_wait, epoll_pwait, epoll_pwait2; io_uring_enter, in the same two files.
test.each([
  ['x64', { accept: [43, 288], poll: [7, 271], select: [23, 270], epoll: [232, 281, 441], ring: [426] }],
  ['arm64', { accept: [202, 242], poll: [73], select: [72], epoll: [22, 441], ring: [426] }],
])('%s has its own numbers of the calls in which a server waits', (name, waits) => {
  pretend(name);
  expect(arch().waits).toEqual(waits);
});

test('an architecture without numbers is named', () => {
  pretend('s390x');
  expect(arch).toThrow(expect.objectContaining({ code: 'ERR_NO_FFI', message: expect.stringContaining('s390x') }));
});
