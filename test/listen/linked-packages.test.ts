import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

const RELISTEN = fileURLToPath(new URL('../../dist/index.js', import.meta.url));

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'linked-'));
  // As pnpm has it: what a package needs is beside where the link to it leads.
  for (const name of ['direct', 'behind']) mkdirSync(join(folder, 'store/node_modules', name), { recursive: true });
  writeFileSync(join(folder, 'store/node_modules/direct/index.js'), "module.exports = require('behind');");
  writeFileSync(join(folder, 'store/node_modules/behind/index.js'), "module.exports = 'found';");
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(join(folder, 'store/node_modules/direct'), join(folder, 'node_modules/direct'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test.each([
  ['port', "{ port: 0, host: '127.0.0.1' }"],
  ['path', '{ path: process.argv[1] }'],
])('a program that listens on a %s finds packages behind symbolic links afterwards', async (_, where) => {
  const script = `
    import { createRequire } from 'node:module';
    import { createServer } from 'node:net';
    import { listen } from '${RELISTEN}';
    const server = createServer();
    await listen(server, ${where});
    console.log(createRequire(process.cwd() + '/')('direct'));
    server.close();`;
  const argv = ['--input-type=module', '-e', script, join(folder, 'app.sock')];
  const { stdout } = await promisify(execFile)(process.execPath, argv, { cwd: folder });
  expect(stdout).toBe('found\n');
});
