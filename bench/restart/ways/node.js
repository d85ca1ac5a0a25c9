/*
 * The same express app, and what people restart it with today.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeOf } from '../../../scripts/node-of.js';
import { finish, Program } from '../program.js';
import { underRelisten } from './relisten.js';

const SERVERS = fileURLToPath(new URL('../servers/', import.meta.url));
const BIN = fileURLToPath(new URL('../../node_modules/', import.meta.url));
export const NODE = process.execPath;
export const EXPRESS = join(SERVERS, 'express.js');
export const GRACEFUL = join(SERVERS, 'graceful.js');
const PLAIN = [NODE, EXPRESS];

/** A later Node for SO_REUSEPORT, which Node 20 does not know. */
const REUSEPORT_NODE = '24';

/** @type {import('../rows.js').Row[]} */
export const nodeRows = [
  {
    id: 'relisten',
    title: 'relisten run',
    server: 'express',
    boot: PLAIN,
    start: place => underRelisten(PLAIN, place),
  },
  {
    id: 'relisten-stop-first',
    title: 'relisten run --strategy stop-first',
    server: 'express',
    start: place => underRelisten(PLAIN, place, { options: ['--strategy', 'stop-first'] }),
  },
  { id: 'stop-start', title: 'stop and start', server: 'express', start: place => stopAndStart(EXPRESS, place) },
  {
    id: 'drain-start',
    title: 'stop and start, after server.close()',
    server: 'express',
    start: place => stopAndStart(GRACEFUL, place),
  },
  {
    id: 'node-watch',
    title: 'node --watch',
    server: 'express',
    start: place => watched(place, [NODE, `--watch-path=${place.folder}`, EXPRESS]),
  },
  {
    id: 'nodemon',
    title: 'nodemon',
    server: 'express',
    start: place => watched(place, [NODE, join(BIN, 'nodemon/bin/nodemon.js'), '--watch', place.folder, EXPRESS]),
  },
  ...['rr', 'none'].map(policy => ({
    id: `cluster-${policy}`,
    title: `node:cluster, rolling (SCHED_${policy.toUpperCase()})`,
    server: 'express',
    start: (/** @type {import('../rows.js').Place} */ place) => rollingCluster(place, policy),
  })),
  {
    id: 'pm2-restart',
    title: 'pm2 restart',
    server: 'express',
    start: place => underPm2(place, 'restart', { script: EXPRESS, exec_mode: 'fork', instances: 1 }),
  },
  {
    id: 'pm2-reload',
    title: 'pm2 reload, wait_ready',
    server: 'express',
    start: place =>
      underPm2(place, 'reload', {
        ...{ script: GRACEFUL, exec_mode: 'cluster', instances: 2 },
        ...{ wait_ready: true, listen_timeout: 10_000, kill_timeout: 3_000 },
      }),
  },
  .../** @type {(0 | 1)[]} */ ([0, 1]).map(migrate => ({
    id: `reuseport-${migrate}`,
    title: `SO_REUSEPORT overlap, tcp_migrate_req=${migrate}`,
    server: `express (Node ${REUSEPORT_NODE})`,
    migrate,
    prepare: () => nodeOf(REUSEPORT_NODE),
    start: overlapping,
  })),
];

/** @param {string} script @param {import('../rows.js').Place} place */
function stopAndStart(script, { port }) {
  const start = () => new Program([NODE, script], { PORT: String(port) });
  let current = start();
  return {
    restart: async () => {
      current.kill('SIGTERM');
      await current.exited;
      current = start();
    },
  };
}

/** A restart is asked for by changing a file. @param {import('../rows.js').Place} place @param {string[]} command */
function watched({ folder, port }, command) {
  const touch = () => writeFileSync(join(folder, 'changed.js'), String(Date.now()));
  touch();
  new Program(command, { PORT: String(port) }, folder);
  return { restart: touch };
}

/** @param {import('../rows.js').Place} place @param {string} policy */
function rollingCluster({ port }, policy) {
  const primary = new Program([NODE, join(SERVERS, 'cluster.js')], {
    ...{ PORT: String(port), NODE_CLUSTER_SCHED_POLICY: policy },
  });
  return {
    restart: async () => {
      const from = primary.said.length;
      primary.kill('SIGHUP');
      await primary.says(/^replaced$/, { from });
    },
  };
}

/** @param {import('../rows.js').Place} place @param {string} verb @param {Record<string, unknown>} app */
async function underPm2({ folder, port }, verb, app) {
  const config = join(folder, 'ecosystem.json');
  const env = { PM2_HOME: join(folder, 'pm2'), PM2_DISABLE_VERSION_CHECK: 'true' };
  const apps = [{ ...app, name: 'app', env: { PORT: String(port) } }];
  writeFileSync(config, JSON.stringify({ apps }));
  const pm2 = [NODE, join(BIN, 'pm2/bin/pm2')];
  await finish([...pm2, 'start', config], env);
  return { restart: () => finish([...pm2, verb, 'app'], env) };
}

/** The new one listens beside the old one, which is then told to end. @param {import('../rows.js').Place} place */
async function overlapping({ port }) {
  const start = async () => {
    const program = new Program([nodeOf(REUSEPORT_NODE), GRACEFUL], { PORT: String(port), REUSE_PORT: '1' });
    await program.says(/^listening$/);
    return program;
  };
  let current = await start();
  return {
    restart: async () => {
      const old = current;
      current = await start();
      old.kill('SIGTERM');
    },
  };
}
