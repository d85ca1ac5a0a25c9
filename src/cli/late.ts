import type { Supervisor } from '../supervise/supervisor.ts';

/** By then the next start is prepared, and nobody waits for us. */
const AFTER_MS = 5_000;

/**
 * Loads what a running relisten may need late, or never, while its files are those that it was started from: `npm install`
 * may replace them, an import that has failed once fails for good, and a module of another version does not fit.
 */
export function loadTheRestLater(supervisor: Supervisor): void {
  const timer = setTimeout(() => {
    if (supervisor.generations.some(({ state }) => state === 'starting')) timer.refresh();
    else void loadTheRest().catch(() => {}); // whoever needs it says what is missing
  }, AFTER_MS).unref();
  supervisor.once('end', () => clearTimeout(timer));
}

/** Some 10 ms, and 0.5 MiB. */
export async function loadTheRest(): Promise<void> {
  await import('../bind/bind-fd.ts');
  await import('../inspect/inspect.ts');
  await import('../inspect/examine.ts');
  await import('./status-text.ts');
}
