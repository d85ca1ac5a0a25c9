import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { sendDatagram } from '../../src/kernel/datagram.ts';
import { Poller } from '../../src/kernel/poll.ts';
import { type Notice, NotifySocket, parseNotices } from '../../src/supervise/notify-socket.ts';

test.each([
  ['READY=1', [{ ready: true }]],
  ['STATUS=Loading\nREADY=1\nMAINPID=12', [{ status: 'Loading' }, { ready: true }]],
  ['READY=0', []],
  ['', []],
  ['WATCHDOG=1', []],
])('reads %j', (text, expected) => {
  expect(parseNotices(text)).toEqual(expected);
});

describe('a notify socket', () => {
  function open() {
    const directory = join(mkdtempSync(join(tmpdir(), 'notify-')), 'web.d');
    const poller = new Poller();
    let onNotice: (notice: Notice) => void = () => {};
    const notify = new NotifySocket(directory, 1, poller, notice => onNotice(notice));
    onTestFinished(() => {
      notify.close();
      poller.close();
      rmSync(dirname(directory), { recursive: true });
    });
    const heard = () =>
      new Promise<Notice>(fulfil => {
        onNotice = fulfil;
      });
    return { notify, heard };
  }

  test('hears again where its path was removed and it was restored', async () => {
    const { notify, heard } = open();
    rmSync(notify.path);
    expect(notify.isIntact).toBe(false);
    notify.restore();
    expect(notify.isIntact).toBe(true);
    const notice = heard();
    sendDatagram(notify.path, 'READY=1', { wait: false });
    expect(await notice).toEqual({ ready: true });
  });

  test('leaves a path that is another’s by now', () => {
    const { notify } = open();
    rmSync(notify.path);
    writeFileSync(notify.path, '');
    notify.close();
    expect(readdirSync(dirname(notify.path))).toEqual(['web.d.notify-1']);
  });
});
