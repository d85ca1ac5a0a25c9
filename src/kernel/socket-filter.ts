import * as C from './constants.ts';
import { addressOf, call } from './libc.ts';

/*
 * Classic BPF on a socket (socket(7) SO_ATTACH_FILTER, Documentation/networking/filter.rst). On a TCP socket the packet
 * begins with the TCP header (net/ipv4/tcp_ipv4.c, tcp_filter), and a listener's filter sees what belongs to its handshakes.
 */

const SO_ATTACH_FILTER = 26;
const SO_DETACH_FILTER = 27;
/** sizeof(struct sock_filter): code, jump if true, jump if false, operand. */
const INSTRUCTION_BYTES = 8;
/** sizeof(struct sock_fprog) with a 64-bit pointer. */
const PROGRAM_BYTES = 16;

/** The flags of the TCP header are its 14th byte, SYN is 0x02 (RFC 9293 section 3.1). */
const DROP_SYN: readonly [code: number, yes: number, no: number, operand: number][] = [
  [0x30, 0, 0, 13], // BPF_LD | BPF_B | BPF_ABS
  [0x45, 0, 1, 0x02], // BPF_JMP | BPF_JSET | BPF_K
  [0x06, 0, 0, 0], // BPF_RET: keep nothing
  [0x06, 0, 0, 0xffff_ffff], // BPF_RET: keep all
];

/**
 * Makes a listener deaf to new connections, while handshakes that have begun are completed: a client's SYN is dropped
 * without an answer, and the client sends it again after a second (RFC 6298 section 2). Sockets that are accepted from
 * now on inherit the filter, which has nothing to drop there. The fd stays the caller's. The filter is the socket's, not
 * the descriptor's: whoever shares the socket shares it, even when this process is gone.
 *
 * @throws KernelError; RelistenError `ERR_NO_FFI`
 */
export function dropNewConnections(fd: number): void {
  const instructions = Buffer.alloc(DROP_SYN.length * INSTRUCTION_BYTES);
  DROP_SYN.forEach(([code, yes, no, operand], index) => {
    const at = index * INSTRUCTION_BYTES;
    instructions.writeUInt16LE(code, at);
    instructions.writeUInt8(yes, at + 2);
    instructions.writeUInt8(no, at + 3);
    instructions.writeUInt32LE(operand, at + 4);
  });
  const program = Buffer.alloc(PROGRAM_BYTES);
  program.writeUInt16LE(DROP_SYN.length, 0);
  program.writeBigUInt64LE(addressOf(instructions), 8);
  call('setsockopt', [fd, C.SOL_SOCKET, SO_ATTACH_FILTER, program, PROGRAM_BYTES], `${fd}, SO_ATTACH_FILTER`);
}

/** Undoes it. */
export function takeNewConnections(fd: number): void {
  call('setsockopt', [fd, C.SOL_SOCKET, SO_DETACH_FILTER, Int32Array.of(0), 4], `${fd}, SO_DETACH_FILTER`);
}
