import { expect, test } from 'vitest';
import { isRestricted } from '../../../src/cli/run-options.ts';

test.each([
  [['node', 'server.js'], false],
  [['node', '--permission', 'server.js'], true],
  [['node', '--experimental-permission', 'server.js'], true],
  [['node', 'server.js', '--max-old-space-size=100 --permission'], true],
  [['node', '--permission', '--allow-addons', 'server.js'], false],
  [['node', 'server.js', '--permissions'], false],
])('%j keeps the hook out: %s', (words, expected) => {
  expect(isRestricted(words)).toBe(expected);
});
