import { describe, expect, it } from 'vitest';
import { leftInTheWay, overlapped, stale, surplus } from '../../src/supervise/let-go.ts';
import { listenerKey } from '../../src/supervise/match.ts';

interface Facts {
  pinned?: boolean;
  reuseport?: boolean;
}

/** On port 80, listened on by these generations. */
function held(host: string, generations: number[], { pinned = false, reuseport = false }: Facts = {}) {
  const address = { family: host.includes(':') ? 'IPv6' : 'IPv4', host, port: 80 } as const;
  const identity = { address, v6only: false };
  return { ...identity, key: listenerKey(identity), generations: new Set(generations), pinned, reuseport };
}

describe('stale', () => {
  const one = held('127.0.0.1', [1]);
  it.each([
    ['is what no living generation listens on', [one], [2], [one]],
    ['is nothing that one listens on', [held('127.0.0.1', [1, 2])], [2], []],
    ['is nothing that was named', [held('127.0.0.1', [1], { pinned: true })], [2], []],
  ])('%s', (_what, listeners, alive, expected) => {
    expect(stale(listeners, new Set(alive))).toEqual(expected);
  });
});

describe('surplus', () => {
  const [first, second] = [held('0.0.0.0', [1, 2], { reuseport: true }), held('0.0.0.0', [1], { reuseport: true })];
  it.each([
    ['is a member of a group that the new one opens fewer of', [first, second], [second]],
    ['is nothing of a group of which it has opened none yet', [second], []],
    ['is nothing that has no SO_REUSEPORT', [first, held('0.0.0.0', [1])], []],
    ['is nothing that was named', [first, held('0.0.0.0', [1], { reuseport: true, pinned: true })], []],
  ])('%s', (_what, listeners, expected) => {
    expect(surplus(listeners, 2)).toEqual(expected);
  });
});

describe('overlapped', () => {
  const old = held('127.0.0.1', [1]);
  it.each([
    ['is what the new one has moved away from', [old, held('0.0.0.0', [2])], [old]],
    ['is nothing that it opens as well', [held('127.0.0.1', [1, 2]), held('0.0.0.0', [2])], []],
    ['is nothing with an address apart', [old, held('127.0.0.2', [2])], []],
    ['is nothing that was named', [held('127.0.0.1', [1], { pinned: true }), held('0.0.0.0', [2])], []],
    ['is nothing with SO_REUSEPORT', [held('127.0.0.1', [1], { reuseport: true }), held('0.0.0.0', [2])], []],
  ])('%s', (_what, listeners, expected) => {
    expect(overlapped(listeners, 2)).toEqual(expected);
  });
});

describe('leftInTheWay', () => {
  const failed = held('127.0.0.1', [2]);
  it.each([
    ['is what it alone has opened where another is', [held('0.0.0.0', [1]), failed], [failed]],
    ['is nothing that another has as well', [held('0.0.0.0', [1]), held('127.0.0.1', [1, 2])], []],
    ['is nothing where nobody else is', [held('127.0.0.2', [1]), failed], []],
    ['is nothing that only meets its own', [held('0.0.0.0', [2]), failed], []],
  ])('%s', (_what, listeners, expected) => {
    expect(leftInTheWay(listeners, 2)).toEqual(expected);
  });
});
