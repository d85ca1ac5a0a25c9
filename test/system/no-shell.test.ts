import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { RELISTEN } from '../fixtures/relisten.ts';
import { needs } from '../tools.ts';
import { freePort, Supervised } from './harness.ts';

/*
 * An image with Node and nothing else, as distroless ones are: no shell, no tools.
 */

const { test } = needs('root', 'unshare', 'chroot');

const PROJECT = dirname(dirname(dirname(RELISTEN)));
/** Arguments: the new root, Node, the project, the folder for temporary files, and what to run there. */
const ENTER = `
  set -e
  root=$1 node=$2 project=$3 temporary=$4
  shift 4
  mount -t tmpfs none "$root"
  mkdir -p "$root/proc" "$root/dev" "$root/usr/lib" "$root\${node%/*}" "$root$project" "$root$temporary"
  for link in /lib /lib64; do cp -P "$link" "$root/"; done
  touch "$root$node" "$root/dev/null"
  mount --bind "$node" "$root$node"
  mount --bind /dev/null "$root/dev/null"
  for folder in /proc /usr/lib "$project" "$temporary"; do mount --rbind "$folder" "$root$folder"; done
  if test -d /usr/lib64; then mkdir -p "$root/usr/lib64"; mount --rbind /usr/lib64 "$root/usr/lib64"; fi
  cd "$root$project"
  exec chroot "$root" "$@"`;
const SERVER = `
  require('node:http').createServer((_, response) => response.end(process.env.RELISTEN_GENERATION))
    .listen(Number(process.env.PORT), '127.0.0.1')`;

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'root-'));
});
afterEach(() => rmSync(root, { recursive: true }));

test('a server is held and restarted where there is no shell', async () => {
  const port = await freePort();
  const under = ['unshare', '-m', 'sh', '-c', ENTER, 'sh', root, process.execPath, PROJECT, tmpdir()];
  await using run = new Supervised([process.execPath, '-e', SERVER], { under, env: { PORT: String(port) } });
  await run.event('state', event => event.generation === 1 && event.state === 'ready');
  expect(run.events).toContainEqual(
    expect.objectContaining({ type: 'supervising', way: expect.objectContaining({ intercept: true }) }),
  );
  for (const generation of [2, 3]) {
    run.kill('SIGHUP');
    await run.event('state', event => event.generation === generation && event.state === 'ready');
    await run.event('state', event => event.generation === generation - 1 && event.state === 'exited');
    expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe(String(generation));
  }
  expect(run.events.filter(event => event.type === 'unintercepted')).toEqual([]);
});
