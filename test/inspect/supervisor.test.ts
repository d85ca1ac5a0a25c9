import { expect, test } from 'vitest';
import { relistenAmong } from '../../src/inspect/supervisor.ts';
import type { ProcessFacts } from '../../src/inspection.ts';

function process(command: string): ProcessFacts {
  const facts = { pid: 1, cwd: '/', uid: 0, user: 'root', ppid: 1, orphaned: false, startedAt: 0 };
  return { ...facts, command, argv: command.split(' ') };
}

test.each([
  ['node /usr/bin/relisten run -- node server.js', undefined],
  ['node /srv/relisten/dist/cli/main.js run -n web -p 80 -- ./server', 'web'],
  ['node /usr/bin/relisten run --name=web -- ./server -n other', 'web'],
  ['node /usr/bin/relisten take 3000 --name web -- ./server', 'web'],
])('sees the relisten of %s', (command, name) => {
  expect(relistenAmong([process('python3 app.py'), process(command)])).toMatchObject({ facts: { command }, name });
});

test.each(['node server.js', 'node run', 'relisten why 3000', 'vim relisten run.txt'])('sees none in %s', command => {
  expect(relistenAmong([process(command)])).toBeUndefined();
});
