import { createRequire } from 'node:module';
import { RelistenError } from '../errors.ts';
import { KernelError } from './errno.ts';

/*
 * The C library, through koffi. Nothing is loaded until the first call, so that `import 'relisten'` costs no FFI.
 * Pointers take a Buffer or typed array, or null.
 */

const PROTOTYPES = {
  socket: 'int socket(int domain, int type, int protocol)',
  bind: 'int bind(int fd, const void *address, uint32_t length)',
  listen: 'int listen(int fd, int backlog)',
  connect: 'int connect(int fd, const void *address, uint32_t length)',
  getsockname: 'int getsockname(int fd, void *address, void *length)',
  getpeername: 'int getpeername(int fd, void *address, void *length)',
  getsockopt: 'int getsockopt(int fd, int level, int name, void *value, void *length)',
  setsockopt: 'int setsockopt(int fd, int level, int name, const void *value, uint32_t length)',
  shutdown: 'int shutdown(int fd, int how)',
  socketpair: 'int socketpair(int domain, int type, int protocol, void *pair)',
  accept4: 'int accept4(int fd, void *address, void *length, int flags)',
  close: 'int close(int fd)',
  fcntl: 'int fcntl(int fd, int command, long argument)',
  flock: 'int flock(int fd, int operation)',
  pipe2: 'int pipe2(void *pair, int flags)',
  poll: 'int poll(void *fds, unsigned long count, int timeout)',
  read: 'intptr_t read(int fd, void *buffer, size_t length)',
  write: 'intptr_t write(int fd, const void *buffer, size_t length)',
  send: 'intptr_t send(int fd, const void *buffer, size_t length, int flags)',
  recv: 'intptr_t recv(int fd, void *buffer, size_t length, int flags)',
  sendmsg: 'intptr_t sendmsg(int fd, const void *message, int flags)',
  recvmsg: 'intptr_t recvmsg(int fd, void *message, int flags)',
  epoll_create1: 'int epoll_create1(int flags)',
  epoll_ctl: 'int epoll_ctl(int epoll, int operation, int fd, void *event)',
  prctl: 'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
  waitid: 'int waitid(int type, uint32_t id, void *info, int options)',
  ioctl: 'int ioctl(int fd, unsigned long request, void *argument)',
  if_nametoindex: 'unsigned int if_nametoindex(const void *name)',
  // The system calls without a wrapper in every libc.
  pidfd_open: ['syscall', 'long', ['long', 'int', 'unsigned int']],
  pidfd_getfd: ['syscall', 'long', ['long', 'int', 'int', 'unsigned int']],
  pidfd_send_signal: ['syscall', 'long', ['long', 'int', 'int', 'void *', 'unsigned int']],
  ptrace: ['syscall', 'long', ['long', 'long', 'long', 'unsigned long', 'unsigned long']],
  seccomp: ['syscall', 'long', ['long', 'unsigned int', 'unsigned int', 'void *']],
} as const;

export type LibcName = keyof typeof PROTOTYPES;

/** Anything that koffi takes where these prototypes have a number or a pointer. */
export type CArgument = number | bigint | NodeJS.ArrayBufferView | null;

interface CFunction {
  (...args: CArgument[]): number | bigint;
  async(...args: [...CArgument[], (error: Error | null, result: number) => void]): void;
}

interface Koffi {
  load(path: string | null): { func(...definition: unknown[]): CFunction };
  errno(): number;
  address(pointer: unknown): bigint;
  node: {
    poll(fd: number, wanted: WantedEvents, callback: (status: number) => void): { close(): void };
  };
}

interface WantedEvents {
  readable: boolean;
  writable: boolean;
}

interface Library {
  koffi: Koffi;
  func(...definition: unknown[]): CFunction;
}

let library: Library | undefined;
const functions = new Map<LibcName, CFunction>();

function load(): Library {
  library ??= open();
  return library;
}

function open(): Library {
  if (process.platform !== 'linux') throw missing(`relisten knows the layout of Linux, this is ${process.platform}`);
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    // null is the program itself: Node links to libc dynamically, glibc and musl alike (dlopen(3)).
    const libc = koffi.load(null);
    return { koffi, func: (...definition) => libc.func(...definition) };
  } catch (cause) {
    throw missing(`koffi has no binary for ${process.platform}-${process.arch}, or was not installed`, cause);
  }
}

function missing(why: string, cause?: unknown): RelistenError {
  return new RelistenError(`Cannot call the C library: ${why}`, { code: 'ERR_NO_FFI', op: 'load', cause });
}

function resolve(name: LibcName): CFunction {
  const known = functions.get(name);
  if (known) return known;
  const prototype = PROTOTYPES[name];
  const found = typeof prototype === 'string' ? load().func(prototype) : load().func(...prototype);
  functions.set(name, found);
  return found;
}

/** Whether FFI is to be had here; loads it if so. */
export function hasLibc(): boolean {
  try {
    load();
    return true;
  } catch {
    return false;
  }
}

const EINTR = 4;

/**
 * Calls a C function that answers -1 and errno on failure. EINTR is retried, except for close(2), which must not be.
 *
 * @param shown what an error names in place of the raw arguments
 * @throws KernelError
 */
export function call(name: LibcName, args: CArgument[], shown?: string): number {
  const fn = resolve(name);
  for (;;) {
    const result = Number(fn(...args));
    if (result !== -1) return result;
    const errno = load().koffi.errno();
    if (errno !== EINTR) throw new KernelError(name, errno, shown ?? args.map(showArgument).join(', '));
    if (name === 'close') return 0;
  }
}

/** Calls it on a thread of libuv's pool, and answers what it answered: errno is that thread's, and not to be had. */
export function callAside(name: LibcName, args: CArgument[]): Promise<number> {
  const fn = resolve(name);
  return new Promise((fulfil, reject) => {
    fn.async(...args, (error, result) => (error ? reject(error) : fulfil(Number(result))));
  });
}

/**
 * Watches a descriptor in libuv's loop (uv_poll_t), and makes it non-blocking.
 *
 * @param callback is called by libuv itself: without a tick around it, so no microtask runs behind it. Status is not 0
 * where the descriptor has an error; it is not watched any more then
 */
export function watchDescriptor(
  fd: number,
  wanted: WantedEvents,
  callback: (status: number) => void,
): { close(): void } {
  return load().koffi.node.poll(fd, wanted, callback);
}

/** Address of a Buffer's first byte, for structs that point at others. The caller keeps the Buffer alive. */
export function addressOf(buffer: NodeJS.ArrayBufferView): bigint {
  return load().koffi.address(buffer);
}

function showArgument(argument: CArgument): string {
  return typeof argument === 'number' || typeof argument === 'bigint' ? String(argument) : '…';
}
