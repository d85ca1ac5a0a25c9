import { chmodSync } from 'node:fs';
import type { ListenOptions as NodeOptions, Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { bindError, throwIfAborted } from '../bind/failure.ts';
import { DEFAULT_DEADLINE_MS } from '../bind/wait.ts';
import type { Inspection } from '../inspection.ts';
import { codeOf } from '../kernel/errno.ts';
import { started } from './give-to-server.ts';
import type { CheckedOptions } from './options.ts';

/**
 * Where the C library cannot be called, and in a worker of node:cluster, where the primary binds: Node's own
 * `server.listen()`, repeated at the interval while the address is in use and `retry` asks for it.
 *
 * @returns what was asked for and could not be had
 */
export async function listenPlainly(
  server: Server,
  options: CheckedOptions,
  explain: (address: string) => Promise<Inspection>,
): Promise<string[]> {
  const { interval, deadline = DEFAULT_DEADLINE_MS, shown, signal } = options;
  const named = { op: 'listen', address: shown } as const;
  const end = performance.now() + deadline;
  for (;;) {
    try {
      await started(server, () => void server.listen(nodeOptions(options)));
      break;
    } catch (error) {
      const again = codeOf(error) === 'EADDRINUSE' && interval !== undefined && performance.now() + interval < end;
      if (!again) {
        const report = await explain(shown).catch(() => undefined);
        throw bindError(named, error, report);
      }
      await sleep(interval, undefined, { signal }).catch(() => throwIfAborted(named, signal));
    }
  }
  if (options.mode !== undefined && options.address && 'path' in options.address) {
    chmodSync(options.address.path, options.mode);
  }
  return warningsFor(options);
}

function nodeOptions({ address, backlog, ipv6Only }: CheckedOptions): NodeOptions {
  return { ...address, backlog, ipv6Only };
}

/** libuv sets SO_REUSEADDR itself on every Unix, and nothing that could be told from outside. */
function warningsFor({ reuse, evict }: CheckedOptions): string[] {
  const warnings: string[] = [];
  if (reuse !== 'auto' && reuse !== 'address') warnings.push(`reuse: '${reuse}' is not to be had here: Node chose`);
  if (evict) warnings.push('evict is not to be had here');
  return warnings;
}
