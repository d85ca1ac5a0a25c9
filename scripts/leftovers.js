/*
 * What a run leaves behind: processes that carry its mark, and files in its temporary folder.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Made by Node and by tools that the tests run, and kept on purpose. */
const CACHES = /^(?:node-compile-cache|tsx-\d+|v8-compile-cache.*|go-build.*|\.org\.chromium.*)$/;

/**
 * Processes with `mark` (NAME=value) in the environment that they were started with (proc(5), environ).
 * @param {string} mark
 * @returns {string[]} `pid command`
 */
export function leftProcesses(mark) {
  return markedProcesses(mark).map(pid => `process ${pid} (${commandOf(pid)})`);
}

/** Their pids, this process apart. @param {string} mark */
export function markedProcesses(mark) {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter(pid => read(pid, 'environ').split('\0').includes(mark));
}

/** @param {number} pid */
export function commandOf(pid) {
  return read(pid, 'cmdline').split('\0').filter(Boolean).join(' ') || read(pid, 'comm').trim();
}

/** Empty for one that has gone, and for a zombie. @param {number} pid @param {string} file */
function read(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

/** Everything in a temporary folder but caches, as paths. @param {string} folder */
export function leftFiles(folder) {
  try {
    return readdirSync(folder)
      .filter(name => !CACHES.test(name))
      .map(name => join(folder, name));
  } catch {
    return [];
  }
}
