import type { FailureKind } from './result.ts';

/** A failure as a client saw it, before anybody knows when and to whom. */
export interface Seen {
  kind: FailureKind;
  code?: string;
  detail?: string;
}

/**
 * Names what an error of a socket means to its client.
 *
 * | errno | kind | why |
 * |---|---|---|
 * | ECONNREFUSED | refused | connect(2): no one listens at the address |
 * | ENOENT, EAGAIN | refused | unix(7): no such path; the backlog is full |
 * | ECONNRESET, EPIPE, ECONNABORTED | reset | RST came, or the peer will not read any more |
 * | ETIMEDOUT | timeout | tcp(7): the kernel gave up |
 * | any other | other | not the server's answer: EMFILE, EADDRNOTAVAIL, EHOSTUNREACH … |
 */
export function failureOf(error: NodeJS.ErrnoException): Seen {
  const code = error.code ?? error.name;
  return { kind: KIND_OF_ERRNO[code] ?? 'other', code, detail: error.message };
}

const KIND_OF_ERRNO: Record<string, FailureKind> = {
  ECONNREFUSED: 'refused',
  ENOENT: 'refused',
  EAGAIN: 'refused',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ECONNABORTED: 'reset',
  ETIMEDOUT: 'timeout',
};
