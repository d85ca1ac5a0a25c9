import * as C from './constants.ts';
import { KernelError } from './errno.ts';
import { close } from './fd.ts';
import { call } from './libc.ts';

/*
 * Requests to the kernel over netlink(7): one socket a request, so that no answer is left behind for the next one.
 */

/**
 * Is given one message: the header's fields (netlink(7), "struct nlmsghdr") and where its payload is in the datagram.
 * No objects and no slices, as a dump may bring 100,000 of them.
 */
export type MessageVisitor = (type: number, flags: number, bytes: Buffer, start: number, end: number) => void;

const HEADER_BYTES = 16;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_DUMP = 0x300;

/** The kernel answers a dump in pieces of at most 32 KiB (net/netlink/af_netlink.c, netlink_recvmsg). */
const RECEIVE_BYTES = 65536;
/** Netlink works within the caller's own system calls; this only bounds what cannot happen. */
const TIMEOUT_SECONDS = 5n;
const RESTARTS = 3;
/** Of requests that are sent in one go: well under the 212,992 bytes of net.core.wmem_default. */
const BATCH_BYTES = 65536;

/**
 * Asks for a table and gives the payload of each message of it to `each`: the bytes from `start` to `end`, which are the
 * receiver's to keep. A table that changed while it was read (NLM_F_DUMP_INTR) is asked for again, up to three times; the
 * last answer stands. `restart` is called before each repetition.
 *
 * @throws KernelError
 */
export function dump(
  protocol: number,
  type: number,
  request: Buffer,
  each: (bytes: Buffer, start: number, end: number) => void,
  restart: () => void = () => {},
): void {
  for (let attempt = 0; ; attempt++) {
    const interrupted = withSocket(protocol, fd => {
      send(fd, encodeMessage(type, NLM_F_REQUEST | NLM_F_DUMP, 1, request));
      return receiveDump(fd, each);
    });
    if (!interrupted || attempt === RESTARTS) return;
    restart();
  }
}

/** Reads until NLMSG_DONE; says whether the table changed meanwhile. */
function receiveDump(fd: number, each: (bytes: Buffer, start: number, end: number) => void): boolean {
  let interrupted = false;
  let status: number | undefined;
  while (status === undefined) {
    eachMessage(receive(fd), (type, flags, bytes, start, end) => {
      if ((flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
      if (type === NLMSG_ERROR || type === NLMSG_DONE) status = end - start >= 4 ? bytes.readInt32LE(start) : 0;
      else each(bytes, start, end);
    });
  }
  if (status < 0) throw new KernelError('netlink', -status, 'dump');
  return interrupted;
}

/**
 * Sends many requests of one type and answers each one's errno, 0 where it succeeded.
 *
 * The kernel works through all messages of one send(2) and speaks up for those that failed and those that ask for an
 * acknowledgement (net/netlink/af_netlink.c, netlink_rcv_skb), so the last of each batch asks.
 */
export function submit(protocol: number, type: number, requests: Buffer[]): number[] {
  const answers = requests.map(() => 0);
  if (requests.length === 0) return answers;
  withSocket(protocol, fd => {
    const perBatch = Math.max(1, Math.floor(BATCH_BYTES / (HEADER_BYTES + (requests[0]?.length ?? 0) + 4)));
    for (let start = 0; start < requests.length; start += perBatch) {
      const batch = requests.slice(start, start + perBatch);
      const last = start + batch.length - 1;
      const flags = (index: number) => (index === last ? NLM_F_REQUEST | NLM_F_ACK : NLM_F_REQUEST);
      send(fd, Buffer.concat(batch.map((bytes, i) => encodeMessage(type, flags(start + i), start + i, bytes))));
      receiveAnswers(fd, last, answers);
    }
  });
  return answers;
}

/** Reads errors, whose payload repeats the header that they answer, until that of request number `last` has come. */
function receiveAnswers(fd: number, last: number, answers: number[]): void {
  let done = false;
  while (!done) {
    eachMessage(receive(fd), (type, _flags, bytes, start, end) => {
      if (type !== NLMSG_ERROR || end - start < 4 + HEADER_BYTES) return;
      const sequence = bytes.readUInt32LE(start + 4 + 8);
      answers[sequence] = -bytes.readInt32LE(start);
      if (sequence === last) done = true;
    });
  }
}

function withSocket<T>(protocol: number, use: (fd: number) => T): T {
  const fd = call('socket', [C.AF_NETLINK, C.SOCK_RAW | C.SOCK_CLOEXEC, protocol], `AF_NETLINK, SOCK_RAW, ${protocol}`);
  try {
    const timeout = BigInt64Array.of(TIMEOUT_SECONDS, 0n);
    call('setsockopt', [fd, C.SOL_SOCKET, C.SO_RCVTIMEO, timeout, 16], `${fd}, SO_RCVTIMEO`);
    // A burst of errors must fit: SO_RCVBUFFORCE where we may, else what net.core.rmem_max allows.
    const bytes = Int32Array.of(4 << 20);
    try {
      call('setsockopt', [fd, C.SOL_SOCKET, C.SO_RCVBUFFORCE, bytes, 4]);
    } catch {
      call('setsockopt', [fd, C.SOL_SOCKET, C.SO_RCVBUF, bytes, 4]);
    }
    return use(fd);
  } finally {
    close(fd);
  }
}

function send(fd: number, bytes: Buffer): void {
  call('send', [fd, bytes, bytes.length, C.MSG_NOSIGNAL], `${fd}, ${bytes.length} bytes`);
}

const EMSGSIZE = 90;
const received = Buffer.alloc(RECEIVE_BYTES);

/** A datagram, as long as it is, in memory of its own. */
function receive(fd: number): Buffer {
  // With MSG_TRUNC the answer is the real length, even of a datagram that was cut (recv(2)).
  const length = call('recv', [fd, received, received.length, C.MSG_TRUNC], `${fd}`);
  if (length > received.length) throw new KernelError('recv', EMSGSIZE, `${fd}: ${length} bytes`);
  return Buffer.from(received.subarray(0, length));
}

/** A message with its header, padded to four bytes. */
export function encodeMessage(type: number, flags: number, sequence: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + align(payload.length));
  bytes.writeUInt32LE(HEADER_BYTES + payload.length, 0);
  bytes.writeUInt16LE(type, 4);
  bytes.writeUInt16LE(flags, 6);
  bytes.writeUInt32LE(sequence, 8);
  payload.copy(bytes, HEADER_BYTES);
  return bytes;
}

/** Visits the messages in one datagram. Stops at the first whose length cannot be true. */
export function eachMessage(bytes: Buffer, visit: MessageVisitor): void {
  let offset = 0;
  while (offset + HEADER_BYTES <= bytes.length) {
    const length = bytes.readUInt32LE(offset);
    const end = offset + length;
    if (length < HEADER_BYTES || end > bytes.length) return;
    visit(bytes.readUInt16LE(offset + 4), bytes.readUInt16LE(offset + 6), bytes, offset + HEADER_BYTES, end);
    offset += align(length);
  }
}

/** The attributes after a message's fixed part, by type (netlink(7), RTA_ALIGN; the top two bits are flags). */
export function decodeAttributes(bytes: Buffer): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  let offset = 0;
  while (offset + 4 <= bytes.length) {
    const length = bytes.readUInt16LE(offset);
    if (length < 4 || offset + length > bytes.length) break;
    attributes.set(bytes.readUInt16LE(offset + 2) & 0x3fff, bytes.subarray(offset + 4, offset + length));
    offset += align(length);
  }
  return attributes;
}

/** One attribute, padded to four bytes. */
export function encodeAttribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc(4 + align(value.length));
  bytes.writeUInt16LE(4 + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  value.copy(bytes, 4);
  return bytes;
}

function align(length: number): number {
  return (length + 3) & ~3;
}
