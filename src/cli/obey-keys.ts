import type { Status } from '../control/status.ts';
import type { EventTalk } from './event-talk.ts';
import { KEYS_HINT, readKeys } from './keys.ts';
import type { Orders } from './orders.ts';
import { talk as tell } from './report.ts';

/** What keys order. Gives the terminal back when the process ends. */
export function obeyKeys(orders: Orders, talk: EventTalk, status: () => Promise<Status>): void {
  const release = readKeys({
    restart: () => orders.restart('r'),
    status: () =>
      void showStatus(status).catch(error => talk.say({ type: 'notice', text: `No status: ${error.message}` })),
    quit: () => orders.stop('q'),
    help: () => talk.say({ type: 'notice', text: KEYS_HINT }),
  });
  process.once('exit', release);
  talk.say({ type: 'notice', text: KEYS_HINT });
}

async function showStatus(status: () => Promise<Status>): Promise<void> {
  const { statusLines } = await import('./status-text.ts');
  for (const line of statusLines(await status())) tell(line);
}
