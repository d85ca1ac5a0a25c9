#!/usr/bin/env node
/*
 * Brings a fresh clone to where it can build and test: node_modules, and as root on Debian the programs that the system
 * tests run. Needs nothing but Node. Does nothing, quickly, when everything is there.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** What the system tests run, and the Debian package that has it. */
export const PROGRAMS = {
  python3: 'python3',
  busybox: 'busybox-static',
  gunicorn: 'gunicorn',
  nginx: 'nginx-light',
  'redis-server': 'redis-server',
  go: 'golang-go',
  puma: 'puma',
  haproxy: 'haproxy',
  ip: 'iproute2',
  lsof: 'lsof',
  curl: 'curl',
  bash: 'bash',
  ps: 'procps',
  chroot: 'coreutils',
  unshare: 'util-linux',
  setpriv: 'util-linux',
  prlimit: 'util-linux',
  script: 'bsdutils',
  '/lib/systemd/systemd': 'systemd',
  'dbus-daemon': 'dbus-daemon',
  chromium: 'chromium',
  strace: 'strace',
};

/** What only `npm run bench:restart` compares with. */
const BENCH_PROGRAMS = {
  start_server: 'libserver-starter-perl',
  '/usr/share/gocode/src/github.com/cloudflare/tableflip': 'golang-github-cloudflare-tableflip-dev',
};

/** The servers that the hook is tested with have a package.json of their own: they are many and heavy. */
const APPS = 'test/apps';

/** What each purpose takes: folders with a package.json, and programs. */
const PURPOSES = {
  demo: { folders: ['.'], programs: { python3: PROGRAMS.python3 } },
  tests: { folders: ['.', APPS], programs: PROGRAMS },
  bench: { folders: ['.', APPS], programs: { ...PROGRAMS, ...BENCH_PROGRAMS } },
};

/** Installs what is missing. Throws where nothing can go on without it. @param {keyof typeof PURPOSES} purpose */
export function setup(purpose) {
  const { folders, programs } = PURPOSES[purpose];
  for (const folder of folders) if (!modulesAreCurrent(folder)) installModules(folder);
  const missing = missingPackages(programs);
  if (missing.length === 0) return;
  const why = cannotInstall();
  if (why) say(`not here: ${missing.join(', ')} (${why}); what needs them says so`);
  else installPackages(missing);
}

/**
 * Whether node_modules is what package-lock.json says; npm keeps what it installed in a lockfile of its own there.
 * @param {string} folder
 */
function modulesAreCurrent(folder) {
  const wanted = packagesOf(join(folder, 'package-lock.json'));
  const installed = packagesOf(join(folder, 'node_modules/.package-lock.json'));
  if (!wanted || !installed) return false;
  const differs = Object.entries(wanted).some(([path, entry]) => {
    const here = installed[path];
    if (path === '' || (!here && entry.optional)) return false;
    return here?.version !== entry.version || (entry.integrity && here?.integrity !== entry.integrity);
  });
  return !differs && Object.keys(installed).every(path => path in wanted);
}

/**
 * @param {string} file
 * @returns {Record<string, { version?: string, integrity?: string, optional?: boolean }> | undefined}
 */
function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(join(ROOT, file), 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/** @param {string} folder */
function installModules(folder) {
  say(`installing ${join(folder, 'node_modules')}`);
  if (run('npm', ['ci', '--silent', '--prefix', folder])) return;
  // A lockfile that was written behind a registry without the packages of other platforms lacks them, and npm ci then
  // refuses it whole. This takes the same versions, and leaves the lockfile alone.
  if (run('npm', ['install', '--no-save', '--loglevel=error', '--prefix', folder])) return;
  if (folder === '.') throw new Error('npm install failed: see above');
  say(`the tests that need ${folder} will fail`);
}

/** @param {Record<string, string>} programs */
function missingPackages(programs) {
  const missing = Object.entries(programs).filter(([program]) => !isInstalled(program));
  return [...new Set(missing.map(([, packageName]) => packageName))];
}

/** @param {string} program */
function isInstalled(program) {
  if (isAbsolute(program)) return existsSync(program);
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some(folder => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Why Debian packages cannot be installed here, if they cannot. */
function cannotInstall() {
  if (!isInstalled('apt-get') || !existsSync('/etc/debian_version')) return 'this is not Debian';
  if (process.getuid?.() !== 0) return 'only root can install them';
  return undefined;
}

const POLICY = '/usr/sbin/policy-rc.d';
const POLICY_ASIDE = `${POLICY}.before-relisten`;

/**
 * Installs them without starting a daemon: for that time invoke-rc.d(8) is told by policy-rc.d that nothing may start.
 * @param {string[]} packages
 */
function installPackages(packages) {
  say(`installing ${packages.join(' ')}`);
  const stay = () => {}; // A signal ends apt-get, not us: the policy must be put back.
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, stay);
  if (existsSync(POLICY) && !existsSync(POLICY_ASIDE)) renameSync(POLICY, POLICY_ASIDE);
  try {
    writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    const lock = ['-qq', '-o', 'DPkg::Lock::Timeout=300'];
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    run('apt-get', [...lock, 'update'], env);
    const done = run('apt-get', [...lock, 'install', '-y', '--no-install-recommends', ...packages], env);
    if (!done) say('apt-get failed: the tests that need what is missing say so');
  } finally {
    rmSync(POLICY, { force: true });
    if (existsSync(POLICY_ASIDE)) renameSync(POLICY_ASIDE, POLICY);
    for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, stay);
  }
}

/**
 * @param {string} command
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 */
function run(command, args, env = process.env) {
  // What it prints is talk: stdout stays free for the answer of whoever calls.
  const { status, signal } = spawnSync(command, args, { cwd: ROOT, env, stdio: ['ignore', 2, 2] });
  if (signal) throw new Error(`${command} was ended by ${signal}`);
  return status === 0;
}

/** @param {string} line */
function say(line) {
  process.stderr.write(`setup: ${line}\n`);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  setup(process.argv.includes('--bench') ? 'bench' : 'tests');
}
