import { describe, expect, it } from 'vitest';
import { arch } from '../../src/kernel/constants.ts';
import { encodeFilter } from '../../src/kernel/seccomp-filter.ts';

const ASKED = 0x7fc00000;
const SOL_SOCKET = 1;
const SO_ACCEPTCONN = 30;
const SO_ERROR = 4;
const [SHUT_RD, SHUT_WR, SHUT_RDWR] = [0, 1, 2];

/** Runs it as the kernel does (net/core/filter.c), as far as it needs. */
function asks(filter: Buffer, number: number, args: number[] = [], architecture = arch().AUDIT_ARCH): boolean {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(number, 0);
  data.writeUInt32LE(architecture, 4);
  args.forEach((value, index) => {
    data.writeUInt32LE(value, 16 + 8 * index);
  });
  let accumulator = 0;
  for (let at = 0; ; at++) {
    const [code, k] = [filter.readUInt16LE(at * 8), filter.readUInt32LE(at * 8 + 4)];
    const jump = (holds: boolean) => filter.readUInt8(at * 8 + (holds ? 2 : 3));
    if (code === 0x06) return k === ASKED;
    if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x15) at += jump(accumulator === k);
    else if (code === 0x35) at += jump(accumulator >= k);
    else throw new Error(`no such instruction: ${code}`);
  }
}

describe.skipIf(process.platform !== 'linux')('the filter asks about', () => {
  const { SYS_bind, SYS_listen, SYS_getsockopt, SYS_shutdown, SYS_ptrace } = arch();

  it.each([
    ['bind', SYS_bind, [3], true],
    ['listen', SYS_listen, [3, 511], true],
    ['getsockopt of SO_ACCEPTCONN', SYS_getsockopt, [3, SOL_SOCKET, SO_ACCEPTCONN], true],
    ['getsockopt of another option', SYS_getsockopt, [3, SOL_SOCKET, SO_ERROR], false],
    ['getsockopt of another level', SYS_getsockopt, [3, 6, SO_ACCEPTCONN], false],
    ['shutdown of reading', SYS_shutdown, [5, SHUT_RD], true],
    ['shutdown of both', SYS_shutdown, [5, SHUT_RDWR], true],
    ['shutdown of writing', SYS_shutdown, [5, SHUT_WR], false],
    ['shutdown at a high descriptor', SYS_shutdown, [64, SHUT_RDWR], false],
    ['another call', SYS_ptrace, [3], false],
  ] as const)('%s', (_, number, args, expected) => {
    expect(asks(encodeFilter(undefined), number, [...args])).toBe(expected);
  });

  it.each([
    [[5], 5, true],
    [[5], 6, false],
    [[5, 200], 200, true],
    [[], 5, false],
    [Array.from({ length: 101 }, (_, fd) => fd + 100), 5, true],
  ])('shutdown where listeners are known to be at %j, at %i: %s', (known, fd, expected) => {
    expect(asks(encodeFilter(known), SYS_shutdown, [fd, SHUT_RDWR])).toBe(expected);
    expect(asks(encodeFilter(known), SYS_bind, [fd])).toBe(true);
  });

  it('nothing of a 32-bit program', () => {
    expect(asks(encodeFilter(undefined), SYS_bind, [3], 0x40000003)).toBe(false);
  });
});
