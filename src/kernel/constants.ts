import { RelistenError } from '../errors.ts';

/*
 * Linux's numbers, from include/uapi. Those that differ between architectures come from arch(); the socket constants of
 * asm-generic/socket.h are the same on x64 and arm64.
 */

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;

export const SOCK_STREAM = 1;
export const SOCK_RAW = 3;
export const SOCK_SEQPACKET = 5;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

export const IPPROTO_TCP = 6;
export const IPPROTO_IPV6 = 41;
/** Go listens with it since 1.24 (RFC 8684). */
export const IPPROTO_MPTCP = 262;

export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_TYPE = 3;
export const SO_ERROR = 4;
export const SO_LINGER = 13;
export const SO_REUSEPORT = 15;
export const SO_RCVBUF = 8;
export const SO_PEERCRED = 17;
export const SO_RCVTIMEO = 20;
export const SO_ACCEPTCONN = 30;
export const SO_RCVBUFFORCE = 33;
export const SO_PROTOCOL = 38;
export const SO_DOMAIN = 39;
export const SO_BINDTOIFINDEX = 62;
export const IPV6_V6ONLY = 26;
export const IPV6_MINHOPCOUNT = 73;
export const IPPROTO_IP = 0;
export const IP_MINTTL = 21;

export const MSG_CTRUNC = 0x8;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x40000000;
export const SCM_RIGHTS = 1;

export const F_GETFD = 1;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_DUPFD_CLOEXEC = 1030;
export const FD_CLOEXEC = 1;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;

interface ArchNumbers {
  SYS_seccomp: number;
  SYS_pidfd_send_signal: number;
  SYS_pidfd_open: number;
  SYS_pidfd_getfd: number;
  SYS_bind: number;
  SYS_listen: number;
  SYS_getsockopt: number;
  SYS_shutdown: number;
  SYS_ptrace: number;
  /** What seccomp calls the architecture (include/uapi/linux/audit.h). */
  AUDIT_ARCH: number;
  /** Where the data of a struct epoll_event is: on x86-64 alone it is packed (EPOLL_PACKED in the kernel). */
  epollDataAt: number;
  waits: Record<WaitKind, number[]>;
  tracee: TraceeNumbers;
}

/**
 * Calls in which a server waits for clients, by how they name what they wait for: accept and accept4; poll and ppoll; select and
 * pselect6; epoll_wait, epoll_pwait and epoll_pwait2; io_uring_enter. arm64 has only the younger ones.
 */
export type WaitKind = 'accept' | 'poll' | 'select' | 'epoll' | 'ring';

/** How a system call is made in another process's place (syscall(2), struct user_regs_struct in units of 8 bytes). */
interface TraceeNumbers {
  registers: {
    arguments: number[];
    /** The call's number in front of it; undefined where it is in a set of its own (NT_ARM_SYSTEM_CALL). */
    call: number | undefined;
    /** The result behind it, and the call's number to make it again. */
    result: number;
    pc: number;
  };
  /** Length of the instruction that makes it. */
  instructionBytes: number;
  calls: Record<'chdir' | 'close' | 'dup3' | 'epoll_ctl' | 'execve' | 'fcntl' | 'mmap' | 'prctl' | 'seccomp', number>;
}

const PIDFD = { SYS_pidfd_send_signal: 424, SYS_pidfd_open: 434, SYS_pidfd_getfd: 438 };
const ARCHS: Partial<Record<NodeJS.Architecture, ArchNumbers>> = {
  x64: {
    ...PIDFD,
    SYS_seccomp: 317,
    SYS_bind: 49,
    SYS_listen: 50,
    SYS_getsockopt: 55,
    SYS_shutdown: 48,
    SYS_ptrace: 101,
    AUDIT_ARCH: 0xc000003e,
    epollDataAt: 4,
    waits: { accept: [43, 288], poll: [7, 271], select: [23, 270], epoll: [232, 281, 441], ring: [426] },
    tracee: {
      // rdi, rsi, rdx, r10, r8, r9; orig_rax, rax, rip
      registers: { arguments: [14, 13, 12, 7, 9, 8], call: 15, result: 10, pc: 16 },
      instructionBytes: 2,
      calls: {
        chdir: 80,
        close: 3,
        dup3: 292,
        epoll_ctl: 233,
        execve: 59,
        fcntl: 72,
        mmap: 9,
        prctl: 157,
        seccomp: 317,
      },
    },
  },
  arm64: {
    ...PIDFD,
    SYS_seccomp: 277,
    SYS_bind: 200,
    SYS_listen: 201,
    SYS_getsockopt: 209,
    SYS_shutdown: 210,
    SYS_ptrace: 117,
    AUDIT_ARCH: 0xc00000b7,
    epollDataAt: 8,
    waits: { accept: [202, 242], poll: [73], select: [72], epoll: [22, 441], ring: [426] },
    tracee: {
      // x0 to x5; x0, pc
      registers: { arguments: [0, 1, 2, 3, 4, 5], call: undefined, result: 0, pc: 32 },
      instructionBytes: 4,
      calls: {
        chdir: 49,
        close: 57,
        dup3: 24,
        epoll_ctl: 21,
        execve: 221,
        fcntl: 25,
        mmap: 222,
        prctl: 167,
        seccomp: 277,
      },
    },
  },
};

/** Numbers of the architecture that this process runs on. */
export function arch(): ArchNumbers {
  const numbers = ARCHS[process.arch];
  if (numbers) return numbers;
  throw new RelistenError(`No system call numbers for ${process.arch}: relisten knows those of x64 and arm64`, {
    code: 'ERR_NO_FFI',
    op: 'load',
  });
}
