import { expect, test } from 'vitest';
import { parseNotices } from '../../src/supervise/notify-socket.ts';

test.each([
  ['READY=1', [{ ready: true }]],
  ['STATUS=Loading\nREADY=1\nMAINPID=12', [{ status: 'Loading' }, { ready: true }]],
  ['READY=0', []],
  ['', []],
  ['WATCHDOG=1', []],
])('reads %j', (text, expected) => {
  expect(parseNotices(text)).toEqual(expected);
});
