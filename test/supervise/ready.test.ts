import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { HeldListener } from '../../src/supervise/holder.ts';
import type { SuperviseOptions } from '../../src/supervise/options.ts';
import { Readiness, type ReadySigns } from '../../src/supervise/ready.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const LISTENER = listening(7, 80);
const SECOND = listening(8, 81);

function listening(inode: number, port: number): HeldListener {
  const address = { family: 'IPv4', host: '127.0.0.1', port };
  return { inode, key: `127.0.0.1:${port}`, address, v6only: false, debugger: false } as HeldListener;
}

/** A generation that listens, and of which nobody sees whether it waits for clients until `settle` is called. */
function starting(readyTimeoutMs: number, ready: SuperviseOptions['ready'] = {}, ...listeners: HeldListener[]) {
  const [listener = LISTENER] = listeners;
  const over = new AbortController();
  let settle: () => void = () => {};
  const waiting = new Promise<void>(fulfil => {
    settle = fulfil;
  });
  const onUnsettled = vi.fn();
  const onMissing = vi.fn();
  const signs: ReadySigns = {
    expected: new Set([listener, ...listeners]),
    has: () => true,
    isAlone: () => true,
    onMissing,
    settled: opened => {
      expect(opened()).toContain(listener.inode);
      return waiting;
    },
    onUnsettled,
    signal: over.signal,
  };
  const readiness = new Readiness({ ready, readyTimeoutMs } as SuperviseOptions, signs);
  let isReady = false;
  // As the supervisor does: it is not starting any more.
  void readiness.ready.then(() => {
    isReady = true;
    over.abort();
  });
  readiness.onListen(listener);
  const isReadyAfter = async (ms: number) => {
    await vi.advanceTimersByTimeAsync(ms);
    return isReady;
  };
  return { readiness, settle, isReadyAfter, onUnsettled, onMissing };
}

test('who listens is ready when it waits for clients', async () => {
  const { settle, isReadyAfter, onUnsettled } = starting(30_000);
  expect(await isReadyAfter(2_000)).toBe(false);
  settle();
  expect(await isReadyAfter(0)).toBe(true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(onUnsettled).not.toHaveBeenCalled();
});

test('who is never seen to wait is ready after ten seconds, and that is said after three', async () => {
  const { isReadyAfter, onUnsettled } = starting(30_000);
  expect(await isReadyAfter(2_999)).toBe(false);
  expect(onUnsettled).not.toHaveBeenCalled();
  expect(await isReadyAfter(7_000)).toBe(false);
  expect(onUnsettled.mock.calls).toEqual([[10_000]]);
  expect(await isReadyAfter(1)).toBe(true);
});

test('what has come a little later than the first is not said to be missing while it does not wait for clients', async () => {
  const { readiness, isReadyAfter, onMissing } = starting(30_000, {}, LISTENER, SECOND);
  readiness.onListen(SECOND);
  expect(await isReadyAfter(2_000)).toBe(false);
  expect(onMissing).not.toHaveBeenCalled();
});

test('what does not come is said to be missing after a second', async () => {
  const { isReadyAfter, onMissing } = starting(30_000, {}, LISTENER, SECOND);
  expect(await isReadyAfter(1_000)).toBe(false);
  expect(onMissing.mock.calls).toEqual([[[SECOND]]]);
});

test('the deadline makes it ready before that', async () => {
  const { isReadyAfter } = starting(2_000);
  expect(await isReadyAfter(1_999)).toBe(false);
  expect(await isReadyAfter(1)).toBe(true);
});

test('READY=1 outweighs it where it is asked for', async () => {
  const { readiness, isReadyAfter } = starting(30_000, { notify: true });
  readiness.onNotify();
  expect(await isReadyAfter(0)).toBe(true);
});

test('READY=1 that nobody asked for does not: gunicorn sends it before its workers load the application', async () => {
  const { readiness, settle, isReadyAfter } = starting(30_000);
  readiness.onNotify();
  expect(await isReadyAfter(2_000)).toBe(false);
  settle();
  expect(await isReadyAfter(0)).toBe(true);
});

test('a connection that it accepts at a listener that was passed outweighs all that', async () => {
  vi.useRealTimers();
  await using server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const address = { family: 'IPv4', host: '127.0.0.1', port } as const;
  const { readiness, onUnsettled } = starting(30_000, {}, { ...LISTENER, address, v6only: false });
  readiness.onNotify();
  readiness.onPassed({ ...LISTENER, address, v6only: false });
  await readiness.ready;
  expect(onUnsettled).not.toHaveBeenCalled();
});
