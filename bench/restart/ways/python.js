/*
 * gunicorn with workers that keep connections alive.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Program, until } from '../program.js';
import { underRelisten } from './relisten.js';

const SERVERS = fileURLToPath(new URL('../servers/', import.meta.url));
const WORKERS = 2;

/** @type {import('../rows.js').Row[]} */
export const pythonRows = [
  {
    id: 'gunicorn-relisten',
    title: 'gunicorn under relisten run',
    server: 'gunicorn',
    start: place => underRelisten(gunicorn(place), place),
  },
  { id: 'gunicorn-hup', title: 'gunicorn, HUP', server: 'gunicorn', start: reloading },
  { id: 'gunicorn-usr2', title: 'gunicorn, USR2 and TERM', server: 'gunicorn', start: upgrading },
];

/** @param {import('../rows.js').Place} place */
function gunicorn({ host, port, folder }) {
  return [
    ...['gunicorn', '--bind', `${host}:${port}`, '--chdir', SERVERS, '--worker-tmp-dir', folder],
    ...['--workers', String(WORKERS), '--worker-class', 'gthread', '--threads', '16', '--keep-alive', '60'],
    'wsgi:app',
  ];
}

/** @param {import('../rows.js').Place} place */
function reloading(place) {
  const arbiter = new Program(gunicorn(place));
  return { restart: () => arbiter.kill('SIGHUP') };
}

/** The upgrade of gunicorn's manual: USR2, and TERM to the old one when the new one's workers have booted. */
function upgrading(/** @type {import('../rows.js').Place} */ place) {
  const pidFile = join(place.folder, 'pid');
  const first = new Program([...gunicorn(place), '--pid', pidFile]);
  return {
    restart: async () => {
      const from = first.said.length;
      const old = Number(readFileSync(pidFile, 'utf8'));
      process.kill(old, 'SIGUSR2');
      await until(() => existsSync(`${pidFile}.2`), 'gunicorn has a second arbiter');
      await first.says(/Booting worker/, { from, times: WORKERS });
      process.kill(old, 'SIGTERM');
      // It takes the old one's place, and would refuse another USR2 before.
      await until(() => Number(readPid(pidFile) ?? old) !== old, 'the new arbiter has taken its place');
    },
  };
}

/** @param {string} path */
function readPid(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}
