/*
 * The processes of a row's own pid namespace, as /proc shows them.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** False for a zombie too. @param {number} pid */
export function isAlive(pid) {
  const state = /^State:\s+(\w)/m.exec(status(pid))?.[1];
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** @param {number} parent */
export function childrenOf(parent) {
  return pids().filter(pid => Number(/^PPid:\s+(\d+)/m.exec(status(pid))?.[1]) === parent);
}

/**
 * What supervises: everything but the given pids, this process and the namespace's first. In bytes.
 * @param {Set<number>} others
 */
export function supervisorRss(others) {
  const apart = new Set([...others, 1, process.pid]);
  return pids()
    .filter(pid => !apart.has(pid))
    .reduce((sum, pid) => sum + Number(/^VmRSS:\s+(\d+) kB/m.exec(status(pid))?.[1] ?? 0) * 1024, 0);
}

function pids() {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number);
}

/** @param {number} pid */
function status(pid) {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}
