import { Socket } from 'node:net';
import { close } from '../kernel/fd.ts';
import { pipe } from '../kernel/pipe.ts';

/** Lines of stderr that are kept for whoever asks why a start failed. */
const KEPT_LINES = 20;
/** A line longer than this is cut: it is kept to be read by a person. */
const LINE_CHARACTERS = 2_000;

const NEWLINE = 0x0a;

/** A stream of the program's that passes through us, so that we can read along. */
interface Tap {
  /** The program's end. */
  write: number;
  /** Ours. */
  read: number;
  /** Where it goes on to: 1 or 2. */
  target: 1 | 2;
}

/** What was copied to our stderr last ended in the middle of a line. */
let stderrIsMidLine = false;

/** What ends the line that a program has begun on our stderr: for whoever has a line of its own to write there. */
export function lineBreak(): '\n' | '' {
  const wasMidLine = stderrIsMidLine;
  stderrIsMidLine = false;
  return wasMidLine ? '\n' : '';
}

/** What of a program's streams passes through us, and what it gets as its stdin; default: ours. */
export interface Tapping {
  stdin?: number;
  stdout: boolean;
  stderr: boolean;
}

/**
 * Where a generation's stdout and stderr go. They are the program's own: it writes to what relisten was given. Only
 * where that is not a terminal is stderr (and, for `--ready-line`, stdout) a pipe that is copied on, so that the last
 * lines can be told to whoever asked for a restart. A terminal stays the program's terminal.
 *
 * A pipe whose reader dies would kill the program at its next line: see lifeline.ts.
 */
export class Output {
  readonly #taps: Tap[] = [];
  readonly #lines: string[] = [];
  readonly #onLine: ((line: string) => void)[] = [];
  readonly #sources: Socket[] = [];
  #programHasIt = false;

  readonly #stdin: number;

  /** @throws KernelError where there are too few descriptors */
  constructor({ stdin = 0, stdout, stderr }: Tapping) {
    this.#stdin = stdin;
    try {
      if (stdout) this.#taps.push({ ...pipe(), target: 1 });
      if (stderr) this.#taps.push({ ...pipe(), target: 2 });
    } catch (error) {
      void this.close();
      throw error;
    }
  }

  /** What the program gets as descriptors 0 to 2. */
  get stdio(): number[] {
    const of = (target: 1 | 2) => this.#taps.find(tap => tap.target === target)?.write ?? target;
    return [this.#stdin, of(1), of(2)];
  }

  /** Our ends, for whoever must go on when we are killed. */
  get taps(): readonly { read: number; target: 1 | 2 }[] {
    return this.#taps;
  }

  /** The last lines of stderr, oldest first; none where stderr is a terminal. */
  get lastLines(): string[] {
    return [...this.#lines];
  }

  /** Calls back with each line of what passes through. */
  onLine(listener: (line: string) => void): void {
    this.#onLine.push(listener);
  }

  /** The program has its ends by now: closes ours of them, and copies from here on. */
  start(): void {
    this.#closeProgramEnds();
    for (const { read, target } of this.#taps) {
      const source = new Socket({ fd: read, readable: true, writable: false });
      const destination = target === 1 ? process.stdout : process.stderr;
      const lines = new LineSplitter(line => this.#line(line, target));
      source.on('data', (chunk: Buffer) => {
        lines.push(chunk);
        if (target === 2) stderrIsMidLine = chunk.at(-1) !== NEWLINE;
        // Destroyed: its reader has gone.
        if (destination.destroyed || destination.write(chunk)) return;
        source.pause();
        onceWritten(destination, () => source.resume());
      });
      source.on('error', () => source.destroy());
      source.on('close', () => lines.end());
      this.#sources.push(source);
    }
  }

  /** Reads what the program has left in its pipes, and lets go of them. */
  async close(): Promise<void> {
    if (!this.#programHasIt) for (const { read } of this.#taps) close(read);
    this.#closeProgramEnds();
    await Promise.all(this.#sources.map(ended));
  }

  #closeProgramEnds(): void {
    if (this.#programHasIt) return;
    this.#programHasIt = true;
    for (const { write } of this.#taps) close(write);
  }

  #line(line: string, target: 1 | 2): void {
    for (const listener of this.#onLine) listener(line);
    if (target !== 2) return;
    this.#lines.push(line);
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
  }
}

/** Calls back when the stream takes more, or its reader has gone: then no `drain` comes, and what it is given is dropped. */
function onceWritten(stream: NodeJS.WriteStream, onWritten: () => void): void {
  const settle = () => {
    stream.off('drain', settle).off('error', settle);
    onWritten();
  };
  stream.on('drain', settle).on('error', settle);
}

/** How long a pipe's end is waited for: somebody outside the generation may have it open, and is copied on. */
const LAST_WORDS_MS = 100;

function ended(source: Socket): Promise<void> {
  return new Promise(fulfil => {
    if (source.closed) return fulfil();
    const deadline = setTimeout(fulfil, LAST_WORDS_MS);
    source.unref();
    source.once('close', () => {
      clearTimeout(deadline);
      fulfil();
    });
  });
}

class LineSplitter {
  #rest = '';
  readonly #onLine: (line: string) => void;

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(chunk: Buffer): void {
    const lines = (this.#rest + chunk.toString('utf8')).split('\n');
    this.#rest = (lines.pop() ?? '').slice(0, LINE_CHARACTERS);
    for (const line of lines) this.#onLine(line.slice(0, LINE_CHARACTERS).replace(/\r$/, ''));
  }

  end(): void {
    if (this.#rest !== '') this.#onLine(this.#rest);
    this.#rest = '';
  }
}
