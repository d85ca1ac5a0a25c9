import { once } from 'node:events';
import { mkdirSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { rememberAddress } from '../../src/handoff/describe.ts';
import { openGiver } from '../../src/handoff/give.ts';
import { encode, MAX_MESSAGE_BYTES, type Message } from '../../src/handoff/protocol.ts';
import { mayReceive, receiverPath, receiverPaths } from '../../src/handoff/rendezvous.ts';
import { openTaker, type Taker } from '../../src/handoff/take.ts';
import { close } from '../../src/kernel/fd.ts';
import { POLLIN, Poller } from '../../src/kernel/poll.ts';
import { processIds } from '../../src/kernel/process.ts';
import {
  acceptSeqpacket,
  connectSeqpacket,
  listenSeqpacket,
  type Received,
  receiveFds,
  sendFds,
} from '../../src/kernel/scm-rights.ts';
import { socket } from '../../src/kernel/socket.ts';

let directory: string;
let poller: Poller;
const cleanups: (() => unknown)[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'peers-'));
  poller = new Poller();
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await poller.close();
  rmSync(directory, { recursive: true });
});

const own = (fd: number) => {
  cleanups.push(() => close(fd));
  return fd;
};

/** The next message on a descriptor. */
async function next(fd: number): Promise<Received | 'end'> {
  for (;;) {
    const received = receiveFds(fd, MAX_MESSAGE_BYTES);
    if (received !== 'again') return received;
    await new Promise<void>(settle => {
      poller.add(fd, POLLIN, () => {
        poller.remove(fd);
        settle();
      });
    });
  }
}

/** A server with one connection. */
async function serving(): Promise<{ server: net.Server; served: net.Socket; client: net.Socket }> {
  const server = createServer((_, response) => response.end('ok')).listen(0, '127.0.0.1');
  cleanups.push(() => server.close().closeAllConnections());
  await once(server, 'listening');
  rememberAddress(server);
  const accepted = once(server, 'connection') as Promise<[net.Socket]>;
  const client = net.connect((server.address() as AddressInfo).port, '127.0.0.1');
  cleanups.push(() => client.destroy());
  const [served] = await accepted;
  return { server, served, client };
}

const fdOf = (held: net.Socket | net.Server) => Number(Reflect.get(Reflect.get(held, '_handle'), 'fd'));
/** Those of a poller come and go with its work. */
const openFds = () => readdirSync('/proc/self/fd').filter(fd => !/eventfd/.test(target(fd))).length;

function target(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return '';
  }
}

describe('a receiver', () => {
  let taker: Taker;
  let peer: number;
  let target: Awaited<ReturnType<typeof serving>>;
  let injected: number;

  beforeEach(async () => {
    target = await serving();
    taker = openTaker(directory, 1);
    cleanups.push(() => taker.close());
    taker.add(target.server);
    injected = 0;
    target.server.on('connection', () => injected++);
    peer = own(connectSeqpacket(receiverPaths(directory, 1)[0] ?? ''));
    expect(await next(peer)).toMatchObject({ fds: [] }); // its hello
  });

  const connection = () => ({ to: rememberAddress(target.server) ?? '', protocol: 'http1' as const });
  const give = (count: number): Message => ({
    type: 'give',
    connections: Array.from({ length: count }, connection),
  });

  test.each<[string, () => [payload: Buffer, fds: number[]]]>([
    ['junk', () => [Buffer.from('junk'), [fdOf(target.served)]]],
    ['another version', () => [Buffer.from('RLHO\x09{}'), [fdOf(target.served)]]],
    ['a truncated message', () => [encode(give(1)).subarray(0, 40), [fdOf(target.served)]]],
    ['no descriptors', () => [encode(give(1)), []]],
    ['fewer descriptors than connections', () => [encode(give(2)), [fdOf(target.served)]]],
    ['more descriptors than connections', () => [encode(give(1)), [fdOf(target.served), fdOf(target.served)]]],
    ['nothing in a give', () => [encode(give(0)), []]],
    ['a message that only receivers send', () => [encode({ type: 'hello', room: 1 }), []]],
    ['a message that is too long', () => [Buffer.alloc(MAX_MESSAGE_BYTES + 1, 'x'), [fdOf(target.served)]]],
  ])('that gets %s ends the conversation, injects nothing and leaks nothing', async (_, message) => {
    const before = openFds();
    const [payload, fds] = message();
    sendFds(peer, payload, fds);
    expect(await next(peer)).toBe('end');
    expect(injected).toBe(0);
    // Its end of the conversation is closed.
    expect(openFds()).toBe(before - 1);
  });

  test.each<[string, () => number]>([
    ['a file', () => own(openSync('/dev/null', 'r'))],
    ['a listener', () => fdOf(target.server)],
    ['a socket that is not connected', () => own(socket('IPv4'))],
    ['a connection of another server', () => fdOf(target.client)],
    ['a unix socket', () => peer],
  ])('that gets %s refuses it, injects nothing and leaks nothing', async (_, fd) => {
    const wrong = fd();
    const before = openFds();
    sendFds(peer, encode(give(1)), [wrong]);
    const answer = await next(peer);
    expect(answer === 'end' ? '' : answer.payload.toString()).toMatch(/"taken","refused":\[0\]/);
    expect(injected).toBe(0);
    expect(openFds()).toBe(before);
  });

  test('says why once, however often it happens', async () => {
    const warnings: string[] = [];
    const listen = (warning: Error) => warnings.push(warning.message);
    process.on('warning', listen);
    cleanups.push(() => process.off('warning', listen));
    for (let i = 0; i < 3; i++) {
      sendFds(peer, encode({ type: 'give', connections: [{ to: '/said/once', protocol: 'tcp' }] }), [
        fdOf(target.served),
      ]);
      await next(peer);
    }
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('/said/once');
  });

  test('takes what is left behind by a giver that died', async () => {
    const arrived = once(target.server, 'connection');
    const mine = net.connect((target.server.address() as AddressInfo).port, '127.0.0.1');
    cleanups.push(() => mine.destroy());
    const [served] = (await arrived) as [net.Socket];
    injected = 0;
    const giver = connectSeqpacket(receiverPaths(directory, 1)[0] ?? '');
    sendFds(giver, encode(give(1)), [fdOf(served)]);
    const taken = once(target.server, 'connection');
    close(giver);
    served.destroy();
    await taken;
    mine.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(String((await once(mine, 'data'))[0])).toContain('200 OK');
  });
});

describe('a giver', () => {
  const ready = () => ({ generation: 1, pid: process.pid, session: processIds(process.pid)?.sid ?? 0 });

  /** A receiver that says what the test tells it to. */
  async function receiver(room: number) {
    const listener = own(listenSeqpacket(receiverPath(directory, 1)));
    const giver = openGiver(directory, ready());
    const fd = acceptSeqpacket(listener);
    if (fd === undefined) throw new Error('nobody connects');
    const say = (message: Message) => sendFds(fd, encode(message));
    say({ type: 'hello', room });
    const opened = await giver;
    if (!opened) throw new Error('there was no hello');
    cleanups.push(() => opened.close());
    const offer = ({ served, server }: Awaited<ReturnType<typeof serving>>) =>
      opened.handOff(served, { server, protocol: 'http1' });
    return { fd, say, offer };
  }

  async function works({ client }: { client: net.Socket }): Promise<boolean> {
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    return String((await once(client, 'data'))[0]).includes('200 OK');
  }

  async function receive(fd: number): Promise<number[]> {
    const message = await next(fd);
    if (message === 'end') throw new Error('the giver is gone');
    return message.fds;
  }

  test('keeps a connection whose receiver dies without an answer, and reads it on', async () => {
    const target = await serving();
    const { fd, offer } = await receiver(10);
    const handed = offer(target);
    for (const received of await receive(fd)) close(received);
    close(fd);
    expect(await handed).toBe(false);
    expect(await works(target)).toBe(true);
  });

  test('keeps a connection whose receiver dies before it reads the message', async () => {
    const target = await serving();
    const { fd, offer } = await receiver(10);
    const handed = offer(target);
    close(fd);
    expect(await handed).toBe(false);
    expect(await works(target)).toBe(true);
  });

  test('is rid of a connection whose receiver answered and then died, even with messages unread', async () => {
    const targets = [await serving(), await serving()];
    const { fd, say, offer } = await receiver(10);
    const first = targets[0] && offer(targets[0]);
    for (const received of await receive(fd)) close(received);
    const second = targets[1] && offer(targets[1]);
    await Promise.resolve(); // the second message is sent, and stays unread: the giver is told ECONNRESET
    say({ type: 'taken', refused: [], room: 9 });
    close(fd);
    expect([await first, await second]).toEqual([true, false]);
  });

  test('gives up a connection whose receiver answers junk: it may be reading it', async () => {
    const target = await serving();
    const { fd, offer } = await receiver(10);
    const handed = offer(target);
    for (const received of await receive(fd)) close(received);
    sendFds(fd, Buffer.from('junk'));
    expect(await handed).toBe(true);
    close(fd);
  });

  test('keeps what the receiver has no room for', async () => {
    const targets = await Promise.all([1, 2, 3, 4, 5].map(serving));
    const { fd, say, offer } = await receiver(2);
    const handed = targets.map(offer);
    const received = await receive(fd);
    expect(received).toHaveLength(2);
    received.forEach(close);
    say({ type: 'taken', refused: [], room: 0 });
    expect(await Promise.all(handed)).toEqual([true, true, false, false, false]);
    expect(await works(targets[4] as { client: net.Socket })).toBe(true);
    close(fd);
  });

  test('goes to the generation that has become ready since, with what a stopping receiver refuses', async () => {
    const target = await serving();
    const { fd, say, offer } = await receiver(10);
    const taker = openTaker(directory, 2);
    cleanups.push(() => taker.close());
    taker.add(target.server);
    const handed = offer(target);
    for (const received of await receive(fd)) close(received);
    writeFileSync(join(directory, 'ready.json'), JSON.stringify({ ...ready(), generation: 2 }));
    say({ type: 'taken', refused: [0], room: 9 });
    expect(await handed).toBe(true);
    target.served.destroy();
    expect(await works(target)).toBe(true);
    close(fd);
  });

  test('keeps all of a message that the receiver could not take in', async () => {
    const target = await serving();
    const { fd, say, offer } = await receiver(10);
    const handed = offer(target);
    for (const received of await receive(fd)) close(received);
    say({ type: 'refused', why: 'full', room: 0 });
    expect(await handed).toBe(false);
    expect(await works(target)).toBe(true);
    close(fd);
  });

  test('does not send a connection that was closed meanwhile', async () => {
    const target = await serving();
    const { fd, offer } = await receiver(10);
    const handed = offer(target);
    target.served.destroy();
    expect(await handed).toBe(false);
    close(fd);
  });

  test('waits for a receiver that is late, and no longer than it was told', async () => {
    const giver = openGiver(directory, ready());
    const taker = openTaker(directory, 1);
    cleanups.push(() => taker.close());
    const opened = await giver;
    expect(opened).toBeDefined();
    await opened?.close();
    expect(await openGiver(directory, { ...ready(), generation: 7 }, { waitMs: 10 })).toBeUndefined();
  });

  test('finds nobody in a directory that is removed meanwhile', async () => {
    const opening = openGiver(directory, { generation: 2, pid: process.pid, session: 0 }, { waitMs: 100 });
    rmSync(directory, { recursive: true });
    expect(await opening).toBeUndefined();
    mkdirSync(directory);
  });

  test('waits for all who have said that they will receive, while they live', async () => {
    const taker = openTaker(directory, 1);
    cleanups.push(() => taker.close());
    const mark = join(directory, `loading-1-${process.pid}-1`);
    writeFileSync(mark, '');
    writeFileSync(join(directory, 'loading-1-4194304-1'), ''); // a pid that no process has (pid_max)
    writeFileSync(join(directory, `loading-2-${process.pid}-1`), '');
    let isOpen = false;
    const opening = openGiver(directory, ready(), { waitMs: 20_000 }).finally(() => {
      isOpen = true;
    });
    // Its hello has come by the time that another giver has had its own.
    const other = own(connectSeqpacket(receiverPaths(directory, 1)[0] ?? ''));
    expect(await next(other)).toMatchObject({ fds: [] });
    expect(isOpen).toBe(false);
    rmSync(mark);
    const giver = await opening;
    expect(giver).toBeDefined();
    await giver?.close();
  });

  test('gives nothing to a process that the supervisor did not name', async () => {
    const taker = openTaker(directory, 1);
    cleanups.push(() => taker.close());
    expect(await openGiver(directory, { generation: 1, pid: 1, session: 1 }, { waitMs: 50 })).toBeUndefined();
  });
});

test.each([
  ['of another user', { pid: 5, uid: 1 }, 5, false],
  ['that was named', { pid: 5, uid: 0 }, 5, true],
  ['of the session that was named', { pid: 6, uid: 0 }, 5, true],
  ['of another session', { pid: 7, uid: 0 }, 5, false],
  ['that is gone', { pid: 8, uid: 0 }, 5, false],
  ['that was named with a session out of sight', { pid: 5, uid: 0 }, 0, true],
  ['of another session out of sight', { pid: 9, uid: 0 }, 0, false],
])('whether a process %s may receive', (_, peer, session, expected) => {
  const sessions: Record<number, number> = { 5: 9, 6: 5, 7: 7, 9: 0 };
  expect(mayReceive(peer, { generation: 1, pid: 5, session }, 0, pid => sessions[pid])).toBe(expected);
});
