import { chmodSync, chownSync, rmSync } from 'node:fs';
import { datagramSocket, receiveDatagram } from '../kernel/datagram.ts';
import { close } from '../kernel/fd.ts';
import { POLLIN, type Poller } from '../kernel/poll.ts';
import { fileAt, isSameFile } from '../kernel/stat.ts';
import { beside } from './private-directory.ts';

/** What a program may tell (sd_notify(3)); anything else is ignored. */
export type Notice = { ready: true } | { status: string };

/** Where a generation's is: not in the private directory, whose owner could have us give another file away. */
export function notifyPath(directory: string, generation: number): string {
  return beside(directory, `notify-${generation}`);
}

/** The socket that NOTIFY_SOCKET names: one a generation, so that the sender is known. */
export class NotifySocket {
  readonly path: string;
  readonly #poller: Poller;
  readonly #onNotice: (notice: Notice) => void;
  readonly #uid: number | undefined;
  #fd = -1;
  /** What the path led to when it was bound. */
  #file: ReturnType<typeof fileAt>;

  /** @param uid of the user that it is for, if not ours @throws the error of bind(2), or the file system's */
  constructor(directory: string, generation: number, poller: Poller, onNotice: (notice: Notice) => void, uid?: number) {
    this.path = notifyPath(directory, generation);
    this.#poller = poller;
    this.#onNotice = onNotice;
    this.#uid = uid;
    this.#open();
  }

  /** Whether the path still leads to it. */
  get isIntact(): boolean {
    return this.#file !== undefined && isSameFile(this.path, this.#file);
  }

  /** Is there again, where its path was removed. @throws the error of bind(2), or the file system's */
  restore(): void {
    this.close();
    this.#open();
  }

  #open(): void {
    rmSync(this.path, { force: true });
    const fd = datagramSocket(this.path);
    this.#fd = fd;
    this.#file = fileAt(this.path);
    this.#poller.add(fd, POLLIN, () => {
      for (let text = receiveDatagram(fd); text !== undefined; text = receiveDatagram(fd)) {
        for (const notice of parseNotices(text)) this.#onNotice(notice);
      }
    });
    chmodSync(this.path, 0o600);
    if (this.#uid !== undefined) chownSync(this.path, this.#uid, -1);
  }

  close(): void {
    if (this.#fd === -1) return;
    if (this.isIntact) rmSync(this.path, { force: true });
    this.#poller.remove(this.#fd);
    close(this.#fd);
    this.#fd = -1;
  }
}

/** Assignments, a line each (sd_notify(3), "Well-known assignments"). */
export function parseNotices(text: string): Notice[] {
  return text.split('\n').flatMap((line): Notice[] => {
    if (line === 'READY=1') return [{ ready: true }];
    return line.startsWith('STATUS=') ? [{ status: line.slice('STATUS='.length) }] : [];
  });
}
