import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const INDEX = new URL('../dist/index.js', import.meta.url).href;
const SCRIPT = `
  import { createRequire } from 'node:module';
  import { readFileSync } from 'node:fs';
  await import(process.argv[1]);
  const required = Object.keys(createRequire(process.argv[1]).cache);
  const mapped = readFileSync('/proc/self/maps', 'utf8').split('\\n').filter(line => line.endsWith('.node'));
  console.log(JSON.stringify({ required, mapped }));
`;

it('loads no FFI and no other package when it is imported', async () => {
  const args = ['--input-type=module', '-e', SCRIPT, INDEX];
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
  });
  expect(JSON.parse(stdout)).toEqual({ required: [], mapped: [] });
});
