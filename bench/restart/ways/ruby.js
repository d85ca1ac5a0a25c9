/*
 * puma in its clustered mode.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Program } from '../program.js';
import { underRelisten } from './relisten.js';

const CONFIG = fileURLToPath(new URL('../servers/config.ru', import.meta.url));
const WORKERS = 2;

/** @type {import('../rows.js').Row[]} */
export const rubyRows = [
  {
    id: 'puma-relisten',
    title: 'puma under relisten run',
    server: 'puma',
    start: place => underRelisten(puma(place), place),
  },
  { id: 'puma-phased', title: 'puma, phased restart', server: 'puma', start: place => signalled(place, 'SIGUSR1') },
  { id: 'puma-hot', title: 'puma, hot restart', server: 'puma', start: place => signalled(place, 'SIGUSR2') },
];

/** @param {import('../rows.js').Place} place */
function puma({ host, port, folder }) {
  return [
    ...['puma', '--bind', `tcp://${host}:${port}`, '--environment', 'production', '--pidfile', join(folder, 'pid')],
    ...['--workers', String(WORKERS), '--threads', '16:16', CONFIG],
  ];
}

/** @param {import('../rows.js').Place} place @param {NodeJS.Signals} signal */
async function signalled(place, signal) {
  const program = new Program(puma(place), {}, place.folder);
  await program.says(/Worker \d+ \(.*booted/, { times: WORKERS });
  return {
    restart: async () => {
      const from = program.said.length;
      program.kill(signal);
      await program.says(/Worker \d+ \(.*booted/, { from, times: WORKERS });
    },
  };
}
