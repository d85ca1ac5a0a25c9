import { chmodSync, chownSync, rmSync } from 'node:fs';
import { datagramSocket, receiveDatagram } from '../kernel/datagram.ts';
import { close } from '../kernel/fd.ts';
import { POLLIN, type Poller } from '../kernel/poll.ts';
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
  readonly #fd: number;
  readonly #poller: Poller;

  constructor(directory: string, generation: number, poller: Poller, onNotice: (notice: Notice) => void, uid?: number) {
    this.path = notifyPath(directory, generation);
    rmSync(this.path, { force: true });
    this.#fd = datagramSocket(this.path);
    chmodSync(this.path, 0o600);
    if (uid !== undefined) chownSync(this.path, uid, -1);
    this.#poller = poller;
    poller.add(this.#fd, POLLIN, () => {
      for (let text = receiveDatagram(this.#fd); text !== undefined; text = receiveDatagram(this.#fd)) {
        for (const notice of parseNotices(text)) onNotice(notice);
      }
    });
  }

  close(): void {
    this.#poller.remove(this.#fd);
    close(this.#fd);
    rmSync(this.path, { force: true });
  }
}

/** Assignments, a line each (sd_notify(3), "Well-known assignments"). */
export function parseNotices(text: string): Notice[] {
  return text.split('\n').flatMap((line): Notice[] => {
    if (line === 'READY=1') return [{ ready: true }];
    return line.startsWith('STATUS=') ? [{ status: line.slice('STATUS='.length) }] : [];
  });
}
