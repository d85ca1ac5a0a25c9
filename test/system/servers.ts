import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Tool } from '../tools.ts';
import { type Exchange, redisPing } from './clients.ts';

/** How a server is started on a port, and asked. */
export interface Server {
  name: string;
  tools: Tool[];
  /** @param folder of its own, for what it needs on disk */
  command(port: number, folder: string): string[];
  env?(port: number, folder: string): NodeJS.ProcessEnv;
  exchange?: Exchange;
  /** What an operator would send it. */
  stopSignal?: NodeJS.Signals;
  /**
   * Told to stop, it drops connections that it has accepted: it has no handler, or its handler does not wait. That is
   * no loss of the restart's, and happens to clients in the very moment of the signal alone.
   */
  dropsAccepted?: boolean;
}

const FIXTURES = fileURLToPath(new URL('../fixtures/servers/', import.meta.url));

export const SERVERS: Server[] = [
  {
    name: 'python3 -m http.server',
    tools: ['python3'],
    command: (port, folder) => ['python3', '-m', 'http.server', String(port), '-b', '127.0.0.1', '-d', folder],
    dropsAccepted: true,
  },
  {
    name: 'a threaded socketserver without SO_REUSEADDR',
    tools: ['python3'],
    command: port => ['python3', join(FIXTURES, 'threaded.py'), String(port)],
    dropsAccepted: true,
  },
  {
    name: 'busybox httpd',
    tools: ['busybox'],
    command: (port, folder) => ['busybox', 'httpd', '-f', '-p', `127.0.0.1:${port}`, '-h', folder],
    dropsAccepted: true,
  },
  {
    name: 'gunicorn',
    tools: ['gunicorn'],
    command: (port, folder) => [
      'gunicorn',
      ...['--bind', `127.0.0.1:${port}`, '--workers', '2', '--worker-tmp-dir', folder, '--chdir', FIXTURES],
      'wsgi:app',
    ],
  },
  {
    name: 'nginx in the foreground',
    tools: ['nginx'],
    command: (port, folder) => ['nginx', '-e', 'stderr', '-p', folder, '-c', nginxConf(`127.0.0.1:${port}`, folder)],
    stopSignal: 'SIGQUIT',
  },
  {
    name: 'haproxy with a master',
    tools: ['haproxy'],
    command: (port, folder) => ['haproxy', '-W', '-db', '-f', haproxyConf(`127.0.0.1:${port}`, folder)],
    dropsAccepted: true,
  },
  {
    name: 'redis-server',
    tools: ['redis-server'],
    command: (port, folder) => [
      ...['redis-server', '--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder],
    ],
    exchange: redisPing,
    dropsAccepted: true,
  },
  {
    name: 'a static Go server with net/http',
    tools: ['go'],
    command: (port, folder) => [goServer(folder), `127.0.0.1:${port}`],
  },
  {
    name: 'puma',
    tools: ['puma'],
    command: (port, folder) => [
      ...['puma', '--bind', `tcp://127.0.0.1:${port}`, '--environment', 'production', '--dir', folder],
      join(FIXTURES, 'config.ru'),
    ],
    dropsAccepted: true,
  },
  {
    name: 'npm start with express',
    tools: ['npm'],
    command: () => ['npm', '--prefix', join(FIXTURES, 'express'), 'start'],
    env: (port, folder) => ({
      PORT: String(port),
      HOME: folder,
      npm_config_cache: folder,
      npm_config_update_notifier: 'false',
    }),
  },
  ...(['rr', 'none'] as const).map(policy => ({
    name: `node:cluster, SCHED_${policy.toUpperCase()}`,
    tools: [],
    command: () => [process.execPath, join(FIXTURES, 'cluster.js')],
    env: (port: number) => ({ PORT: String(port), NODE_CLUSTER_SCHED_POLICY: policy }),
    dropsAccepted: false,
  })),
];

/** A folder that every user can read, with a file to serve. */
export function serverFolder(): { folder: string; [Symbol.dispose](): void } {
  const folder = mkdtempSync(join(tmpdir(), 'srv-'));
  chmodSync(tmpdir(), 0o755);
  chmodSync(folder, 0o777);
  writeFileSync(join(folder, 'index.html'), 'hello\n');
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

/** @param listen what nginx calls it, `unix:/path` too */
function haproxyConf(listen: string, folder: string): string {
  const path = join(folder, 'haproxy.cfg');
  const answer = 'http-request return status 200 content-type text/plain string hello';
  const limits = ['client', 'server', 'connect'].map(which => `timeout ${which} 5s`);
  const lines = ['defaults', 'mode http', ...limits, 'frontend web', `bind ${listen}`, answer];
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

export function nginxConf(listen: string, folder: string): string {
  const path = join(folder, 'nginx.conf');
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  mkdirSync(join(folder, 'temp'), { recursive: true });
  chmodSync(join(folder, 'temp'), 0o777);
  writeFileSync(
    path,
    `daemon off; worker_processes 2; pid ${folder}/nginx.pid;
events { worker_connections 512; }
http {
  access_log off;
  ${kinds.map(kind => `${kind}_temp_path ${folder}/temp/${kind};`).join(' ')}
  server { listen ${listen}; root ${folder}; }
}
`,
  );
  return path;
}

/** Static; quick where it was built before, from Go's own cache. */
function goServer(folder: string): string {
  const path = join(folder, 'server');
  const env = { ...process.env, CGO_ENABLED: '0', GO111MODULE: 'off' };
  execFileSync('go', ['build', '-o', path, 'main.go'], { cwd: join(FIXTURES, 'go'), env });
  return path;
}
