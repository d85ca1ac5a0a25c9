import { onStderr } from './report.ts';

const CELLS = 24;

/** How far something is, on a line of its own that is drawn over: on a terminal, and nowhere else. */
export class ProgressBar {
  readonly #live = process.stderr.isTTY === true;

  /** @param share from 0 to 1 */
  draw(share: number, text: string): void {
    if (!this.#live) return;
    const full = Math.round(Math.min(1, Math.max(0, share)) * CELLS);
    const bar = `${onStderr('green', '━'.repeat(full))}${onStderr('dim', '─'.repeat(CELLS - full))}`;
    const room = Math.max(10, (process.stderr.columns || 80) - CELLS - 3);
    process.stderr.write(`\r\u001b[K${bar}  ${text.slice(0, room)}`);
  }

  /** Takes the line away, before other lines are written. */
  clear(): void {
    if (this.#live) process.stderr.write('\r\u001b[K');
  }
}
