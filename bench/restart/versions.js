/*
 * What was compared, as it names itself.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** @type {Record<string, string[]>} */
const COMMANDS = {
  gunicorn: ['gunicorn', '--version'],
  puma: ['puma', '--version'],
  ruby: ['ruby', '--version'],
  python: ['python3', '--version'],
  nginx: ['nginx', '-v'],
  haproxy: ['haproxy', '-v'],
  go: ['go', 'version'],
  'Server::Starter': ['start_server', '--version'],
  systemd: ['systemctl', '--version'],
  tableflip: ['dpkg-query', '-W', 'golang-github-cloudflare-tableflip-dev'],
};

/** @returns {Record<string, string>} */
export function versions() {
  const own = ['pm2', 'nodemon'].map(name => [name, versionIn(`../node_modules/${name}/package.json`)]);
  const express = ['express', versionIn('../../node_modules/express/package.json')];
  const relisten = ['relisten', versionIn('../../package.json')];
  const others = Object.entries(COMMANDS).map(([name, [program = '', ...args]]) => {
    const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    return [name, `${stdout ?? ''}${stderr ?? ''}`.trim().split('\n')[0] ?? ''];
  });
  return Object.fromEntries([relisten, ['node', process.version], express, ...own, ...others]);
}

/** @param {string} path */
function versionIn(path) {
  return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')).version;
}
