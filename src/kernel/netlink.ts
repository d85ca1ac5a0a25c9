import * as C from './constants.ts';
import { KernelError } from './errno.ts';
import { close } from './fd.ts';
import { call } from './libc.ts';

/*
 * Requests to the kernel over netlink(7): one socket a request, so that no answer is left behind for the next one.
 */

/** One message, as it came: the header's fields and the bytes after it (netlink(7), "struct nlmsghdr"). */
export interface NetlinkMessage {
  type: number;
  flags: number;
  payload: Buffer;
}

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
 * Asks for a table and gives each message of it to `each`. The payload is valid during the call only.
 * A table that changed while it was read (NLM_F_DUMP_INTR) is asked for again, up to three times; the last answer
 * stands. `restart` is called before each repetition.
 *
 * @throws KernelError
 */
export function dump(
  protocol: number,
  type: number,
  request: Buffer,
  each: (message: NetlinkMessage) => void,
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
function receiveDump(fd: number, each: (message: NetlinkMessage) => void): boolean {
  let interrupted = false;
  for (;;) {
    for (const message of receive(fd)) {
      if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
      const status = statusOf(message);
      if (status === undefined) each(message);
      else if (status < 0) throw new KernelError('netlink', -status, 'dump');
      else return interrupted;
    }
  }
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
  for (;;) {
    for (const message of receive(fd)) {
      if (message.type !== NLMSG_ERROR || message.payload.length < 4 + HEADER_BYTES) continue;
      const sequence = message.payload.readUInt32LE(4 + 8);
      answers[sequence] = -message.payload.readInt32LE(0);
      if (sequence === last) return;
    }
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

const received = Buffer.alloc(RECEIVE_BYTES);

function receive(fd: number): Generator<NetlinkMessage> {
  // With MSG_TRUNC the answer is the real length, even of a datagram that was cut (recv(2)).
  const length = call('recv', [fd, received, received.length, C.MSG_TRUNC], `${fd}`);
  if (length > received.length) throw new KernelError('recv', 90, `${fd}: ${length} bytes`);
  return decodeMessages(received.subarray(0, length));
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

/** The messages in one datagram. Stops at the first whose length cannot be true. */
export function* decodeMessages(bytes: Buffer): Generator<NetlinkMessage> {
  let offset = 0;
  while (offset + HEADER_BYTES <= bytes.length) {
    const length = bytes.readUInt32LE(offset);
    if (length < HEADER_BYTES || offset + length > bytes.length) return;
    yield {
      type: bytes.readUInt16LE(offset + 4),
      flags: bytes.readUInt16LE(offset + 6),
      payload: bytes.subarray(offset + HEADER_BYTES, offset + length),
    };
    offset += align(length);
  }
}

/** What ends a dump: 0, or a negative errno; undefined for a message that is part of it. */
export function statusOf(message: NetlinkMessage): number | undefined {
  if (message.type !== NLMSG_ERROR && message.type !== NLMSG_DONE) return undefined;
  return message.payload.length >= 4 ? message.payload.readInt32LE(0) : 0;
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
