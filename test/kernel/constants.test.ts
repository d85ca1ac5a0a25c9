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

test('an architecture without numbers is named', () => {
  pretend('s390x');
  expect(arch).toThrow(expect.objectContaining({ code: 'ERR_NO_FFI', message: expect.stringContaining('s390x') }));
});
