/*
 * The same express app on a listener that something else holds and passes on.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { finish, Program } from '../program.js';
import { GRACEFUL, NODE } from './node.js';

/** @type {import('../rows.js').Row[]} */
export const activationRows = [
  { id: 'server-starter', title: 'Server::Starter', server: 'express', start: serverStarter },
  { id: 'systemd', title: 'systemd socket activation', server: 'express', systemd: true, start: socketActivated },
];

/** @param {import('../rows.js').Place} place */
function serverStarter({ host, port }) {
  const starter = new Program(['start_server', `--port=${host}:${port}`, '--', NODE, GRACEFUL]);
  return { restart: () => starter.kill('SIGHUP') };
}

/** @param {import('../rows.js').Place} place */
async function socketActivated({ host, port }) {
  const units = join(process.env.XDG_RUNTIME_DIR ?? '', 'systemd/user');
  writeFileSync(join(units, 'app.socket'), `[Socket]\nListenStream=${host}:${port}\n`);
  // A benchmark restarts more often than the start limit allows.
  const service = `[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=${NODE} ${GRACEFUL}\nRestart=always\n`;
  writeFileSync(join(units, 'app.service'), service);
  const systemctl = (/** @type {string[]} */ ...words) => finish(['systemctl', '--user', ...words]);
  await systemctl('daemon-reload');
  await systemctl('start', 'app.socket', 'app.service');
  return { restart: () => systemctl('restart', 'app.service') };
}
