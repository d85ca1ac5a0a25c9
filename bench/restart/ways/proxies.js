/*
 * nginx, which answers by itself, and HAProxy before an express server that is not restarted: what is measured is their
 * own restart.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { childrenOf } from '../processes.js';
import { finish, Program, until } from '../program.js';
import { EXPRESS, NODE } from './node.js';
import { underRelisten } from './relisten.js';

const WORKERS = 2;

/** @type {import('../rows.js').Row[]} */
export const proxyRows = [
  {
    id: 'nginx-relisten',
    title: 'nginx under relisten run',
    server: 'nginx',
    start: place => underRelisten(nginx(place), place, { options: ['--stop-signal', 'SIGQUIT'] }),
  },
  { id: 'nginx-reload', title: 'nginx reload', server: 'nginx', start: reloadedNginx },
  { id: 'nginx-upgrade', title: 'nginx binary upgrade', server: 'nginx', start: upgradedNginx },
  { id: 'haproxy', title: 'haproxy reload', server: 'HAProxy', start: place => haproxy(place) },
  {
    id: 'haproxy-idle',
    title: 'haproxy reload, idle-close-on-response',
    server: 'HAProxy',
    start: place => haproxy(place, '  option idle-close-on-response\n'),
  },
];

/** @param {import('../rows.js').Place} place */
function nginx({ host, port, folder }, daemon = 'off') {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  mkdirSync(join(folder, 'temp'), { recursive: true });
  writeFileSync(join(folder, 'slow'), 'hello\n\n\n'.repeat(2048));
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon ${daemon}; worker_processes ${WORKERS}; pid ${folder}/pid; user root;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000; keepalive_timeout 75s;
  ${kinds.map(kind => `${kind}_temp_path ${folder}/temp/${kind};`).join(' ')}
  server {
    listen ${host}:${port}; add_header x-generation $pid; default_type text/plain;
    location = / { return 200 "hello\\n"; }
    location = /slow { root ${folder}; limit_rate 8k; }
  }
}
`,
  );
  // Absolute, since the upgrade executes it again without looking for it in the path.
  return ['/usr/sbin/nginx', '-e', 'stderr', '-p', folder, '-c', join(folder, 'nginx.conf')];
}

/** @param {import('../rows.js').Place} place */
function reloadedNginx(place) {
  const master = new Program(nginx(place));
  return { restart: () => master.kill('SIGHUP') };
}

/** The upgrade of nginx's manual: USR2, and QUIT to the old one when the new one has its workers. */
async function upgradedNginx(/** @type {import('../rows.js').Place} */ place) {
  // It ignores USR2 while the parent that started it lives: so as a daemon, as people run it.
  await finish(nginx(place, 'on'));
  const pidFile = join(place.folder, 'pid');
  const master = () => (existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) : 0);
  return {
    restart: async () => {
      const old = master();
      process.kill(old, 'SIGUSR2');
      await until(() => master() !== 0 && master() !== old, 'nginx has a second master');
      await until(() => childrenOf(master()).length === WORKERS, 'the second master has its workers');
      process.kill(old, 'SIGQUIT');
      await until(() => !existsSync(`${pidFile}.oldbin`), 'the old master is gone');
    },
  };
}

/** @param {import('../rows.js').Place} place @param {string} [options] of the front end */
function haproxy({ host, port, spare, folder }, options = '') {
  // HAProxy's own answers close the connections of those who POST.
  const behind = new Program([NODE, EXPRESS], { PORT: String(spare) });
  writeFileSync(
    join(folder, 'haproxy.cfg'),
    `global
  maxconn 2000
  stats socket ${folder}/stats mode 600 level admin expose-fd listeners
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 75s
frontend bench
  bind ${host}:${port}
${options}  http-response set-header x-generation "%pid"
  default_backend express
backend express
  server express ${host}:${spare}
`,
  );
  const master = new Program(['haproxy', '-W', '-db', '-f', join(folder, 'haproxy.cfg')]);
  return { restart: () => master.kill('SIGUSR2'), apart: [behind.pid] };
}
