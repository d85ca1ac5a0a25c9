import { randomBytes } from 'node:crypto';

/** A frame from the server (RFC 6455 section 5.2). */
export interface Frame {
  final: boolean;
  opcode: number;
  payload: Buffer;
}

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Bytes that are no frame that a server may send to us. */
export class MalformedFrame extends Error {}

const MAX_PAYLOAD_BYTES = 1_048_576;

/** A client's frame, masked as section 5.3 asks. */
export function encodeFrame(opcode: number, payload: Buffer): Buffer {
  const mask = randomBytes(4);
  const long = payload.length > 125;
  if (payload.length > 65_535) throw new RangeError('a frame of at most 65,535 bytes');
  const head = Buffer.alloc(long ? 4 : 2);
  head[0] = 0x80 | opcode;
  head[1] = 0x80 | (long ? 126 : payload.length);
  if (long) head.writeUInt16BE(payload.length, 2);
  const masked = payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0));
  return Buffer.concat([head, mask, masked]);
}

/**
 * Takes the first frame off `bytes`: the frame and what is left, or undefined if it is not whole yet.
 *
 * @throws MalformedFrame for reserved bits and opcodes, a masked or an oversized frame
 */
export function decodeFrame(bytes: Buffer): { frame: Frame; rest: Buffer } | undefined {
  const [first, second] = bytes;
  if (first === undefined || second === undefined) return undefined;
  const opcode = first & 0x0f;
  if (first & 0x70) throw new MalformedFrame('reserved bits are set');
  if (!Object.values<number>(OPCODE).includes(opcode)) throw new MalformedFrame(`opcode ${opcode}`);
  if (second & 0x80) throw new MalformedFrame('a server must not mask');
  const short = second & 0x7f;
  const headBytes = short === 126 ? 4 : short === 127 ? 10 : 2;
  if (bytes.length < headBytes) return undefined;
  const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
  if (length > MAX_PAYLOAD_BYTES) throw new MalformedFrame(`a payload of ${length} bytes`);
  if (opcode >= 8 && (length > 125 || !(first & 0x80))) throw new MalformedFrame('a control frame in parts');
  const end = headBytes + length;
  if (bytes.length < end) return undefined;
  const frame = { final: (first & 0x80) !== 0, opcode, payload: bytes.subarray(headBytes, end) };
  return { frame, rest: bytes.subarray(end) };
}
