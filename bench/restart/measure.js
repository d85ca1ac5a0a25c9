/*
 * Runs one row in the namespaces that it was started in, and prints what its clients saw, as JSON.
 *
 *   node measure.js '{ "row": …, "load": …, "restarts": …, "crash": … }'
 */

import { writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { startLoadThread } from '../../dist/prove/load-thread.js';
import { namedLoad } from '../../dist/prove/loads.js';
import { freePort } from '../hello.js';
import { isAlive, supervisorRss } from './processes.js';
import { Program, until } from './program.js';
import { ROWS } from './rows.js';

/** Load before the first restart, and after each; and the least time from one restart to the next. */
const WARM_UP_MS = 1_500;
const REST_MS = 400;
const EVERY_MS = 4_500;
/** A restart that is not over by then is left alone. */
const RESTART_DEADLINE_MS = 8_000;
/** After a crash with nobody to start the server again. */
const CRASH_DEADLINE_MS = 4_000;
const TIMEOUT_MS = 5_000;
const HOST = '127.0.0.1';

/** @typedef {{ row: string, load: string, restarts: number, crash: boolean, folder: string }} Order */
/**
 * One restart; `askedMs` and `bootMs` are from the request, or the spawn, to the first answer of the new version to
 * somebody who asks again and again on fresh connections.
 * @typedef {{ at: number, endedAt: number, detail?: string, askedMs?: number, bootMs?: number }} Restart
 */

/** @type {Order} */
const order = JSON.parse(process.argv[2] ?? '{}');
const row = ROWS.find(({ id }) => id === order.row);
if (!row) throw new Error(`There is no row ${order.row}`);
if (row.migrate !== undefined) writeFileSync('/proc/sys/net/ipv4/tcp_migrate_req', String(row.migrate));
const place = { host: HOST, port: await freePort(), spare: await freePort(), folder: order.folder };
const url = `http://${HOST}:${place.port}`;
const running = await row.start(place);
await until(() => answers(place.port), `${row.title} answers`);

const load = await startLoadThread({ target: url, classes: namedLoad(order.load), timeoutMs: TIMEOUT_MS });
await pause(WARM_UP_MS);
const rss = supervisorRss(new Set([...serving(), ...(running.apart ?? [])]));
/** @type {Restart[]} */
const restarts = [];
while (restarts.length < order.restarts) {
  /** @type {Restart} */
  const restart = await (order.crash ? crashOnce() : restartOnce());
  restarts.push(restart);
  load.phase('after');
  await pause(REST_MS);
  load.phase('steady');
  if (row.boot && !order.crash) restart.bootMs = await bootBeside(row.boot);
  await pause(Math.max(REST_MS, restart.at + EVERY_MS - sinceStart()));
}
const result = await load.stop();
console.log(
  JSON.stringify({ rss, restarts, result: { ...result, timeline: undefined, lost: result.lost.slice(0, 500) } }),
);
process.exit();

async function restartOnce() {
  const old = serving();
  const known = load.progress().generations.length;
  load.phase('restart');
  const at = sinceStart();
  const asked = row?.boot ? firstAnswer(place.port, old) : undefined;
  const detail = await noted(async () => {
    await running.restart();
    await until(() => load.progress().generations.length > known, 'the new version answers', RESTART_DEADLINE_MS);
    await until(() => !old.some(isAlive), 'the old version is gone', RESTART_DEADLINE_MS);
  });
  return { at, endedAt: sinceStart(), ...detail, askedMs: await asked };
}

/** SIGKILL to one process that serves: the one that answered a moment ago. */
async function crashOnce() {
  const known = load.progress().generations.length;
  load.phase('restart');
  const victim = (await answers(place.port)) || serving()[0];
  const at = sinceStart();
  const detail = await noted(async () => {
    process.kill(Number(victim), 'SIGKILL');
    await until(() => load.progress().generations.length > known, 'a new process answers', CRASH_DEADLINE_MS);
  });
  return { at, endedAt: sinceStart(), ...detail };
}

/** What goes wrong is a result too. @param {() => Promise<void>} work */
async function noted(work) {
  try {
    await work();
    return {};
  } catch (error) {
    return { detail: error instanceof Error ? error.message : String(error) };
  }
}

/** The same server alone on another port, under the same load of the machine: from spawn to its first answer. */
async function bootBeside(/** @type {string[]} */ command) {
  const program = new Program(command, { PORT: String(place.spare) });
  const took = await firstAnswer(place.spare, []);
  program.kill('SIGKILL');
  await program.exited;
  return took;
}

/** Milliseconds until a process that is not one of the old ones answers. @param {number} port @param {number[]} old */
async function firstAnswer(port, old) {
  const begun = performance.now();
  const isNew = async () => {
    const pid = await answers(port);
    return pid !== 0 && !old.includes(pid);
  };
  return until(isNew, 'the new version answers', RESTART_DEADLINE_MS, 1).then(
    () => performance.now() - begun,
    () => undefined,
  );
}

/** Processes that have answered and live: a version is `pid` or `pid.time`. */
function serving() {
  return [...new Set(load.progress().generations.map(version => Number.parseInt(version, 10)))].filter(isAlive);
}

function sinceStart() {
  return performance.timeOrigin + performance.now() - load.startedAt;
}

/** The pid that answers on a port; 0 if none does. @param {number} port @returns {Promise<number>} */
function answers(port) {
  return new Promise(done => {
    const request = get({ host: HOST, port, agent: false, timeout: 1_000 }, response => {
      response.resume().once('end', () => done(Number.parseInt(String(response.headers['x-generation']), 10)));
    });
    request.once('error', () => done(0)).once('timeout', () => request.destroy());
  });
}
