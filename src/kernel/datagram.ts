import { AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_NONBLOCK } from './constants.ts';
import { codeOf } from './errno.ts';
import { close } from './fd.ts';
import { call } from './libc.ts';
import { bind, connect } from './socket.ts';

const SOCK_DGRAM = 2;
/** sd_notify(3) sends one message of lines; more than this is nobody's. */
const MESSAGE_BYTES = 4_096;

/** A unix datagram socket at a path, non-blocking, CLOEXEC and the caller's to close, as its path is to unlink. */
export function datagramSocket(path: string): number {
  const fd = call('socket', [AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0], 'AF_UNIX, SOCK_DGRAM');
  try {
    bind(fd, { family: 'unix', path });
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/** The next message; undefined when none waits. */
export function receiveDatagram(fd: number): string | undefined {
  const bytes = Buffer.alloc(MESSAGE_BYTES);
  try {
    return bytes.toString('utf8', 0, call('recv', [fd, bytes, bytes.length, 0], `${fd}`));
  } catch (error) {
    if (codeOf(error) === 'EAGAIN') return undefined;
    throw error;
  }
}

/**
 * Sends one message to a unix datagram socket; `@` begins an abstract name, as in NOTIFY_SOCKET (sd_notify(3)).
 *
 * @param wait until the receiver has room for it; else EAGAIN is thrown where it has none. @default true
 */
export function sendDatagram(path: string, text: string, { wait = true } = {}): void {
  const fd = call('socket', [AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0], 'AF_UNIX, SOCK_DGRAM');
  try {
    connect(fd, { family: 'unix', path: path.replace(/^@/, '\0') });
    const bytes = Buffer.from(text);
    call('send', [fd, bytes, bytes.length, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT)], `${fd}, ${path}`);
  } finally {
    close(fd);
  }
}
