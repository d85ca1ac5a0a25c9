import { arch, SO_ACCEPTCONN, SOL_SOCKET } from './constants.ts';

/*
 * Which system calls of a program are asked about, as classic BPF over struct seccomp_data (seccomp(2)):
 *
 * | call         | is asked about                                                                                         |
 * |--------------|--------------------------------------------------------------------------------------------------------|
 * | `bind`       | always                                                                                                 |
 * | `listen`     | always                                                                                                 |
 * | `getsockopt` | SO_ACCEPTCONN: who is told yes may not call `listen` (HAProxy)                                         |
 * | `shutdown`   | of reading, at a descriptor that may be a listener's: it ends the socket for all who have it (Twisted) |
 *
 * Another architecture (32-bit programs) passes unfiltered, and x32 calls carry a bit that makes their numbers unequal. What
 * depends on no argument costs nothing: the kernel remembers that it is allowed (Linux 5.11).
 */

const RET_USER_NOTIF = 0x7fc00000;
const RET_ALLOW = 0x7fff0000;

const LOAD = 0x20;
const JUMP_IF_EQUAL = 0x15;
const JUMP_IF_AT_LEAST = 0x35;
const RETURN = 0x06;

/** Offsets in struct seccomp_data; of an argument, its lower half. */
const NUMBER_AT = 0;
const ARCH_AT = 4;
const argumentAt = (index: number) => 16 + 8 * index;

const SHUT_WR = 1;

/** Where listeners are when nobody has seen yet where this program has them. */
const LOW_DESCRIPTORS = 64;
/** A jump reaches 255 instructions. */
const MAX_KNOWN = 100;

type Instruction = [code: number, k: number, ifTrue?: Target, ifFalse?: Target];
/** The next instruction by default. */
type Target = 'allow' | 'ask' | 'getsockopt' | 'shutdown';

/**
 * @param listeners descriptors at which the program is known to have listeners; undefined where that is not known, and any
 *   low one may be one: then each `shutdown` of a connection there costs some 0.05 ms, but for one of writing alone
 * @returns an array of struct sock_filter
 */
export function encodeFilter(listeners: readonly number[] | undefined): Buffer {
  const { AUDIT_ARCH, SYS_bind, SYS_listen, SYS_getsockopt, SYS_shutdown } = arch();
  const known = listeners && listeners.length <= MAX_KNOWN ? listeners : undefined;
  const program: (Instruction | Target)[] = [
    [LOAD, ARCH_AT],
    [JUMP_IF_EQUAL, AUDIT_ARCH, undefined, 'allow'],
    [LOAD, NUMBER_AT],
    [JUMP_IF_EQUAL, SYS_bind, 'ask'],
    [JUMP_IF_EQUAL, SYS_listen, 'ask'],
    [JUMP_IF_EQUAL, SYS_getsockopt, 'getsockopt'],
    [JUMP_IF_EQUAL, SYS_shutdown, 'shutdown', 'allow'],
    'getsockopt',
    [LOAD, argumentAt(1)],
    [JUMP_IF_EQUAL, SOL_SOCKET, undefined, 'allow'],
    [LOAD, argumentAt(2)],
    [JUMP_IF_EQUAL, SO_ACCEPTCONN, 'ask', 'allow'],
    'shutdown',
    [LOAD, argumentAt(1)],
    [JUMP_IF_EQUAL, SHUT_WR, 'allow'],
    [LOAD, argumentAt(0)],
    ...(known ?? []).map((fd): Instruction => [JUMP_IF_EQUAL, fd, 'ask']),
    ...(known ? [] : [[JUMP_IF_AT_LEAST, LOW_DESCRIPTORS, 'allow', 'ask'] satisfies Instruction]),
    'allow',
    [RETURN, RET_ALLOW],
    'ask',
    [RETURN, RET_USER_NOTIF],
  ];
  return assemble(program);
}

/** Labels stand in front of what they name. */
function assemble(program: readonly (Instruction | Target)[]): Buffer {
  const instructions: Instruction[] = [];
  const labels = new Map<Target, number>();
  for (const line of program) {
    if (typeof line === 'string') labels.set(line, instructions.length);
    else instructions.push(line);
  }
  const bytes = Buffer.alloc(instructions.length * 8);
  instructions.forEach(([code, k, ifTrue, ifFalse], index) => {
    const distance = (target: Target | undefined) => (target ? (labels.get(target) ?? 0) - index - 1 : 0);
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(distance(ifTrue), index * 8 + 2);
    bytes.writeUInt8(distance(ifFalse), index * 8 + 3);
    bytes.writeUInt32LE(k >>> 0, index * 8 + 4);
  });
  return bytes;
}
