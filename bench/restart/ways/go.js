/*
 * A Go net/http server: Cloudflare's tableflip, and the same without it under relisten.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { finish, Program } from '../program.js';
import { underRelisten } from './relisten.js';

const SOURCE = fileURLToPath(new URL('../servers/go/main.go', import.meta.url));

/** @type {import('../rows.js').Row[]} */
export const goRows = [
  {
    id: 'go-relisten',
    title: 'Go net/http under relisten run',
    server: 'Go',
    start: async place => underRelisten([await build(place), `${place.host}:${place.port}`], place),
  },
  { id: 'tableflip', title: 'tableflip', server: 'Go', start: flipping },
];

/** Quick where it was built before, from Go's own cache. @param {import('../rows.js').Place} place */
async function build({ folder }) {
  const path = join(folder, 'server');
  // Debian's packages of Go sources are a GOPATH.
  const env = { GO111MODULE: 'off', GOPATH: '/usr/share/gocode', CGO_ENABLED: '0' };
  await finish(['go', 'build', '-o', path, SOURCE], env);
  return path;
}

/** @param {import('../rows.js').Place} place */
async function flipping(place) {
  const pidFile = join(place.folder, 'pid');
  new Program([await build(place), `${place.host}:${place.port}`], { FLIP: '1', PID_FILE: pidFile });
  return { restart: () => process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGHUP') };
}
