import { BroadcastChannel } from 'node:worker_threads';

/*
 * Worker threads get no signals, so the main thread tells them. What they say goes over a BroadcastChannel, which
 * reaches all threads of this process and no other; it keeps no thread alive.
 */

type ThreadMessage = { type: 'listening' | 'stopped'; thread: number } | { type: 'stop' };

/** The same in the other threads (begin.cts). */
const CHANNEL = 'relisten';

/** In the main thread: has the other threads that listen stop, and waits for them. */
export function stopThreads(threads: Set<number>): Promise<void> {
  if (threads.size === 0) return Promise.resolve();
  return new Promise(settle => {
    const channel = openChannel(message => {
      if (message.type === 'stopped') threads.delete(message.thread);
      if (threads.size > 0) return;
      channel.close();
      settle();
    });
    channel.postMessage({ type: 'stop' });
  });
}

function openChannel(onMessage: (message: ThreadMessage) => void): BroadcastChannel {
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = event => onMessage((event as { data: ThreadMessage }).data);
  channel.unref();
  return channel;
}
