import { expect, test } from 'vitest';
import { mayStandBy } from '../../src/hook/consent.ts';

const SCRIPT = '/srv/app/server.js';

// Whatever Node reads before the hook must be what it would read at the restart (node(1)).
test.each([
  ['a script', [], '', true],
  ['a script with more to load first', ['-r', './instrument.cjs', '--import', 'tsx'], '', true],
  ['limits and conditions', ['--max-old-space-size=512', '--conditions=development', '-C', 'x'], '', true],
  ['what the user has in NODE_OPTIONS', [], '--require "/opt/hook.cjs" --enable-source-maps', true],
  ['an env file, which is read at once', ['--env-file=.env'], '', false],
  ['an env file by two words', ['--env-file', '.env'], '', false],
  ['an inspector, whose port the old generation has', ['--inspect'], '', false],
  ['an inspector in NODE_OPTIONS', [], '--require /opt/hook.cjs --inspect=0', false],
  ['the permission model', ['--permission', '--allow-addons'], '', false],
  ['a watcher of its own', ['--watch'], '', false],
  ['a loader, whose thread starts at once', ['--experimental-loader=./loader.mjs'], '', false],
  ['a snapshot', ['--snapshot-blob=app.blob'], '', false],
  ['an option of a later Node', ['--what-is-this'], '', false],
])('%s', (_, execArgv, NODE_OPTIONS, expected) => {
  expect(mayStandBy({ script: SCRIPT, options: [...execArgv, NODE_OPTIONS] })).toBe(expected);
});

test.each([
  ['-e', undefined],
  ['stdin', '-'],
  ['node inspect', 'inspect'],
])('what comes from %s cannot wait for it', (_, script) => {
  expect(mayStandBy({ script, options: [] })).toBe(false);
});
