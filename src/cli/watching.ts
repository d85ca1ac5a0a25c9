import { resolve } from 'node:path';
import type { Supervisor } from '../supervise/supervisor.ts';
import { plural } from './event-lines.ts';
import type { EventTalk } from './event-talk.ts';
import type { Orders } from './orders.ts';

/** Restarts when watched files change. Loads what that needs, so call it once the command was spawned. */
export async function watchFiles(
  globs: readonly string[],
  supervisor: Supervisor,
  orders: Orders,
  talk: EventTalk,
): Promise<void> {
  const { watch } = await import('../supervise/watch.ts');
  const { cwd, envFile } = supervisor.options;
  const watcher = watch({
    directory: cwd,
    globs,
    files: envFile === undefined ? [] : [resolve(cwd, envFile)],
    onChange: paths => orders.restart(`${shorten(paths)} changed`),
    onError: error => talk.say({ type: 'notice', text: cannotWatch(error) }),
  });
  supervisor.once('end', () => void watcher.close());
  const count = await watcher.ready;
  if (supervisor.ended) return;
  const what = globs.length > 0 ? globs.join(' ') : '.';
  if (count === 0) talk.say({ type: 'notice', text: `Watching ${what} in ${cwd}, where no file matches yet` });
  else talk.say({ type: 'watching', globs: [...globs], files: count });
}

function shorten([first = '', ...others]: readonly string[]): string {
  return others.length === 0 ? first : `${first} and ${plural(others.length, 'other')}`;
}

function cannotWatch(error: NodeJS.ErrnoException): string {
  const limit =
    error.code === 'ENOSPC' || error.code === 'EMFILE'
      ? ': raise fs.inotify.max_user_watches and max_user_instances (sysctl), or watch less'
      : '';
  return `Cannot watch everything: ${error.message}${limit}`;
}
