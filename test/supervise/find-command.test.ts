import { expect, test } from 'vitest';
import { findCommand } from '../../src/supervise/find-command.ts';

test.each([
  ['a path is that file', './server', '/bin', ['./server']],
  ['a name is looked for in PATH, in its order', 'sh', '/no/such:/usr/bin:/bin', ['/usr/bin/sh', '/bin/sh']],
  ['an empty directory of PATH is the working directory', 'sh', '/no/such:', ['./sh']],
  ['without PATH it is looked for where the system’s own are', 'sh', undefined, ['/bin/sh', '/usr/bin/sh']],
  ['nothing is nowhere', '', '/bin', []],
  ['what is nowhere is nowhere', 'no-such-command', '/bin', []],
  ['a directory is no command', 'share', '/usr', []],
])('%s', (_, file, path, expected) => {
  expect(findCommand(file, '/bin', path)).toEqual(expected);
});
