#!/usr/bin/env node
/*
 * `npm run soak`: 1,000 restarts of busybox httpd under clients that connect afresh, and what relisten then holds: its
 * descriptors, threads, children and memory must be what they were after the first 50. Arguments: restarts.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { freePort } from './free-port.js';

const RELISTEN = join(dirname(dirname(fileURLToPath(import.meta.url))), 'dist/cli/main.js');
const REQUEST = 'GET / HTTP/1.0\r\n\r\n';
const CLIENT_EVERY_MS = 5;
/** The stage for the next generation is set half a second after a restart; then nothing more happens. */
const SETTLE_MS = 1_000;

/**
 * What relisten holds while nothing happens.
 * @typedef {{ restarts: number, fds: number, threads: number, children: number, rssKiB: number }} Sample
 * @typedef {{ ok: number, refused: number, dropped: number }} Clients `dropped`: by a server that was ended meanwhile
 */

/**
 * @param {{ restarts: number, sampleEvery: number, onSample?: (sample: Sample) => void }} options
 * @returns {Promise<{ samples: Sample[], clients: Clients, ms: number }>}
 */
export async function soak({ restarts, sampleEvery, onSample }) {
  const folder = mkdtempSync(join(tmpdir(), 'soak-'));
  writeFileSync(join(folder, 'index.html'), 'hello\n');
  const port = await freePort();
  const command = ['busybox', 'httpd', '-f', '-p', `127.0.0.1:${port}`, '-h', folder];
  const child = spawn(process.execPath, [RELISTEN, 'run', '--json', '--', ...command], {
    stdio: ['ignore', 'inherit', 'pipe'],
    env: { ...process.env, XDG_RUNTIME_DIR: folder },
  });
  try {
    const seen = follow(child);
    await seen(1, 'ready');
    const load = startClients(port);
    const begun = performance.now();
    /** @type {Sample[]} */
    const samples = [];
    for (let restart = 1; restart <= restarts; restart++) {
      child.kill('SIGHUP');
      await seen(restart, 'exited');
      if (restart % sampleEvery !== 0 && restart !== restarts) continue;
      await delay(SETTLE_MS);
      const sample = { restarts: restart, ...holdings(child.pid ?? 0) };
      samples.push(sample);
      onSample?.(sample);
    }
    return { samples, clients: await load.stop(), ms: performance.now() - begun };
  } finally {
    const ended = once(child, 'close');
    child.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Answers when a generation is in a state; each is asked for once, in order.
 * @param {import('node:child_process').ChildProcess} child
 */
function follow(child) {
  const pipe = child.stderr;
  if (!pipe) throw new Error('no pipe');
  const states = new Set();
  /** @type {{ key: string, resolve: () => void } | undefined} */
  let waiting;
  let last = '';
  createInterface({ input: pipe }).on('line', line => {
    last = line;
    if (!line.startsWith('{')) return;
    const { type, generation, state } = JSON.parse(line);
    if (type !== 'state') return;
    states.add(`${generation} ${state}`);
    if (waiting && states.delete(waiting.key)) waiting.resolve();
  });
  /** @param {number} generation @param {string} state @returns {Promise<void>} */
  return (generation, state) =>
    new Promise((resolve, reject) => {
      const key = `${generation} ${state}`;
      const late = setTimeout(() => reject(new Error(`generation ${key} did not come; last: ${last}`)), 30_000);
      const done = () => {
        clearTimeout(late);
        waiting = undefined;
        states.clear();
        resolve();
      };
      if (states.has(key)) done();
      else waiting = { key, resolve: done };
    });
}

/** @param {number} pid @returns {Omit<Sample, 'restarts'>} */
function holdings(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  /** @param {string} name */
  const field = name => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  const tasks = readdirSync(`/proc/${pid}/task`);
  const children = tasks.flatMap(tid => {
    try {
      return readFileSync(`/proc/${pid}/task/${tid}/children`, 'latin1').split(' ').filter(Boolean);
    } catch {
      return []; // the thread has ended
    }
  });
  return {
    fds: readdirSync(`/proc/${pid}/fd`).length,
    threads: field('Threads'),
    children: children.length,
    rssKiB: field('VmRSS'),
  };
}

/** @param {number} port */
function startClients(port) {
  const clients = { ok: 0, refused: 0, dropped: 0 };
  /** @type {Set<Promise<void>>} */
  const open = new Set();
  const timer = setInterval(() => {
    const one = ask(port).then(fate => {
      clients[fate]++;
      open.delete(one);
    });
    open.add(one);
  }, CLIENT_EVERY_MS);
  return {
    async stop() {
      clearInterval(timer);
      await Promise.all(open);
      return clients;
    },
  };
}

/** @param {number} port @returns {Promise<keyof Clients>} */
function ask(port) {
  return new Promise(resolve => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(REQUEST));
    socket.on('data', chunk => {
      answer += chunk;
    });
    socket.on('error', error => resolve('code' in error && error.code === 'ECONNREFUSED' ? 'refused' : 'dropped'));
    socket.on('close', () => resolve(answer.endsWith('hello\n') ? 'ok' : 'dropped'));
  });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const restarts = Number(process.argv[2] ?? 1_000);
  console.log('restarts    fds  threads  children   RSS MiB');
  const { clients, samples, ms } = await soak({
    restarts,
    sampleEvery: 50,
    onSample: ({ restarts, fds, threads, children, rssKiB }) => {
      const columns = [String(fds).padStart(6), String(threads).padStart(8), String(children).padStart(9)];
      console.log(`${String(restarts).padStart(8)} ${columns.join(' ')} ${(rssKiB / 1024).toFixed(1).padStart(9)}`);
    },
  });
  const { ok, refused, dropped } = clients;
  console.log(`${ok} clients answered, ${refused} refused, ${dropped} dropped by a server that was told to end`);
  console.log(`${((ms - samples.length * SETTLE_MS) / restarts).toFixed(1)} ms a restart`);
  process.exitCode = refused === 0 ? 0 : 1;
}
