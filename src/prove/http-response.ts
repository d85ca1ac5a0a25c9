/** A whole response as it came. */
export interface HttpResponse {
  status: number;
  /** By lower-case name; of repeated fields the values joined by `, ` (RFC 9110 section 5.3). */
  headers: Map<string, string>;
  /** Empty unless it was to be kept. */
  body: Buffer;
  /** Whether the connection may carry another request (RFC 9112 section 9.3). */
  persistent: boolean;
}

/** Bytes that are no HTTP/1.1 response. */
export class MalformedResponse extends Error {}

const MAX_HEAD_BYTES = 65_536;
const NO_BYTES = Buffer.alloc(0);

type Framing = { by: 'length'; left: number } | { by: 'chunks'; left: number; part: ChunkPart } | { by: 'close' };
type ChunkPart = 'size' | 'data' | 'data-end' | 'trailer';

/**
 * A strict incremental parser of one HTTP/1.x response (RFC 9112): no bare LF, no folding, no doubtful framing.
 * It forgives nothing, because a proof that forgives proves nothing.
 */
export class HttpResponseParser {
  /** Whether the first byte of the response has come. */
  started = false;
  readonly #bodiless: boolean;
  readonly #keepBody: boolean;
  #pending: Buffer = NO_BYTES;
  #head: Omit<HttpResponse, 'body'> | undefined;
  #framing: Framing | undefined;
  readonly #body: Buffer[] = [];

  /**
   * @param method of the request: a response to HEAD has no body
   * @param keepBody whether the body is wanted, or only its end
   */
  constructor(method: string, keepBody: boolean) {
    this.#bodiless = method === 'HEAD';
    this.#keepBody = keepBody;
  }

  /**
   * Takes what came; the response when it is whole.
   *
   * @throws MalformedResponse also for bytes after its end: nobody asked for them.
   */
  push(chunk: Buffer): HttpResponse | undefined {
    this.started = true;
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    while (this.#head === undefined || this.#framing === undefined) {
      if (!this.#takeHead()) return undefined;
    }
    const whole = this.#takeBody(this.#framing);
    if (!whole) return undefined;
    if (this.#pending.length > 0) throw new MalformedResponse(`${this.#pending.length} bytes after the response`);
    return { ...this.#head, body: Buffer.concat(this.#body) };
  }

  /** The connection ended: the response if that is how it is delimited, else undefined. */
  end(): HttpResponse | undefined {
    if (this.#head === undefined || this.#framing?.by !== 'close') return undefined;
    return { ...this.#head, body: Buffer.concat(this.#body) };
  }

  #takeHead(): boolean {
    const end = this.#pending.indexOf('\r\n\r\n');
    if (end > MAX_HEAD_BYTES || (end === -1 && this.#pending.length > MAX_HEAD_BYTES)) {
      throw new MalformedResponse(`a head of more than ${MAX_HEAD_BYTES} bytes`);
    }
    if (end === -1) {
      checkStart(this.#pending);
      return false;
    }
    const head = parseHead(this.#pending.toString('latin1', 0, end));
    this.#pending = this.#pending.subarray(end + 4);
    // Interim responses announce the final one (RFC 9110 section 15.2); 101 is final.
    if (head.status < 200 && head.status !== 101) return true;
    this.#head = head;
    this.#framing = framingOf(head, this.#bodiless);
    if (this.#framing.by === 'close') this.#head.persistent = false;
    return true;
  }

  #takeBody(framing: Framing): boolean {
    if (framing.by === 'close') {
      this.#takeData(this.#pending.length);
      return false;
    }
    if (framing.by === 'length') {
      framing.left -= this.#takeData(framing.left);
      return framing.left === 0;
    }
    while (this.#pending.length > 0) {
      if (framing.part === 'data') {
        framing.left -= this.#takeData(framing.left);
        if (framing.left === 0) framing.part = 'data-end';
        continue;
      }
      const line = this.#takeLine();
      if (line === undefined) return false;
      if (this.#takeChunkLine(framing, line)) return true;
    }
    return false;
  }

  /** One line of the chunked coding (RFC 9112 section 7.1); true when it was the last. */
  #takeChunkLine(framing: Extract<Framing, { by: 'chunks' }>, line: string): boolean {
    if (framing.part === 'trailer') return line === '';
    if (framing.part === 'data-end') {
      if (line !== '') throw new MalformedResponse(`${JSON.stringify(line)} after a chunk`);
      framing.part = 'size';
      return false;
    }
    const size = /^([0-9a-f]{1,8})(?:[ \t]*;.*)?$/i.exec(line)?.[1];
    if (size === undefined) throw new MalformedResponse(`${JSON.stringify(line)} is no chunk size`);
    framing.left = Number.parseInt(size, 16);
    framing.part = framing.left === 0 ? 'trailer' : 'data';
    return false;
  }

  #takeLine(): string | undefined {
    const end = this.#pending.indexOf('\r\n');
    if (end === -1 && this.#pending.length > MAX_HEAD_BYTES) throw new MalformedResponse('an endless line');
    if (end === -1) return undefined;
    const line = this.#pending.toString('latin1', 0, end);
    this.#pending = this.#pending.subarray(end + 2);
    return line;
  }

  #takeData(wanted: number): number {
    const data = this.#pending.subarray(0, wanted);
    if (this.#keepBody && data.length > 0) this.#body.push(data);
    this.#pending = this.#pending.subarray(data.length);
    return data.length;
  }
}

/** Junk is known at its first byte, not when a head's worth of it has come. */
function checkStart(bytes: Buffer): void {
  const start = bytes.toString('latin1', 0, 7);
  if (!'HTTP/1.'.startsWith(start)) throw new MalformedResponse(`${JSON.stringify(start)} is no status line`);
}

function parseHead(text: string): Omit<HttpResponse, 'body'> {
  const [statusLine = '', ...lines] = text.split('\r\n');
  const match = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/.exec(statusLine);
  if (!match) throw new MalformedResponse(`${JSON.stringify(statusLine.slice(0, 80))} is no status line`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const field = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
    if (!field || /[\r\n\0]/.test(line))
      throw new MalformedResponse(`${JSON.stringify(line.slice(0, 80))} is no field`);
    const [, name = '', value = ''] = field;
    const before = headers.get(name.toLowerCase());
    headers.set(name.toLowerCase(), before === undefined ? value : `${before}, ${value}`);
  }
  const connection = (headers.get('connection') ?? '').toLowerCase().split(/[ \t]*,[ \t]*/);
  const persistent = match[1] === '1' ? !connection.includes('close') : connection.includes('keep-alive');
  return { status: Number(match[2]), headers, persistent };
}

/**
 * How long the body is (RFC 9112 section 6.3).
 *
 * | response | body |
 * |---|---|
 * | to HEAD, or 101, 204, 304 | none |
 * | Transfer-Encoding: chunked | chunks; any other coding, or a Content-Length beside it, is malformed |
 * | Content-Length | that many bytes; several that differ are malformed |
 * | neither | until the connection ends |
 */
function framingOf(head: Omit<HttpResponse, 'body'>, bodiless: boolean): Framing {
  const coding = head.headers.get('transfer-encoding');
  const length = head.headers.get('content-length');
  if (bodiless || head.status === 101 || head.status === 204 || head.status === 304) return { by: 'length', left: 0 };
  if (coding !== undefined) {
    if (coding.toLowerCase() !== 'chunked') throw new MalformedResponse(`Transfer-Encoding: ${coding}`);
    if (length !== undefined) throw new MalformedResponse('Content-Length beside Transfer-Encoding');
    return { by: 'chunks', left: 0, part: 'size' };
  }
  if (length === undefined) return { by: 'close' };
  if (!/^\d{1,15}$/.test(length)) throw new MalformedResponse(`Content-Length: ${length}`);
  return { by: 'length', left: Number(length) };
}
