import { describe, expect, it } from 'vitest';
import { nextTry, type Patience, type Sighting } from '../../src/bind/schedule.ts';

const NOW = 1_000_000;
const nothing: Sighting = { at: NOW, live: false, expiries: [], closing: false };
const hasty: Patience = { interval: undefined, deadline: NOW + 180_000 };
const patient: Patience = { ...hasty, interval: 50 };

const wait = (ms: number, why: string) => ({ verdict: 'wait', until: NOW + ms, why });
const giveUp = (why: string) => ({ verdict: 'give-up', why });
const look = { verdict: 'look' };

describe('nextTry', () => {
  it.each<[string, Partial<Sighting>, Partial<Patience>, unknown]>([
    ['sleeps until the first timer runs out', { expiries: [NOW + 59_000, NOW + 7_000] }, hasty, wait(7_000, 'timers')],
    ['sleeps as long for the patient', { expiries: [NOW + 7_000] }, patient, wait(7_000, 'timers')],
    ['trusts running timers, however old', { at: NOW - 50_000, expiries: [NOW + 7] }, hasty, wait(7, 'timers')],
    ['tries every 10 ms while a timer is overdue', { expiries: [NOW - 300, NOW + 500] }, hasty, wait(10, 'timers')],
    ['looks again while a timer stays overdue', { at: NOW - 251, expiries: [NOW - 300] }, hasty, look],
    [
      'gives up before a timer that is too long',
      { expiries: [NOW + 9_000] },
      { deadline: NOW + 8_999 },
      giveUp('timers'),
    ],
    ['tries often while sockets close', { closing: true }, hasty, wait(20, 'closing')],
    ['takes the sooner of timer and closing', { closing: true, expiries: [NOW + 5] }, hasty, wait(5, 'timers')],
    ['looks again while sockets close', { at: NOW - 251, closing: true }, hasty, look],
    ['gives up on a live process at once', { live: true }, hasty, giveUp('live')],
    ['waits the interval for a live process if asked', { live: true }, patient, wait(50, 'live')],
    ['looks whether a live process is still there', { live: true, at: NOW - 251 }, patient, look],
    ['waits for timers beside live sockets', { live: true, expiries: [NOW + 9_000] }, hasty, wait(9_000, 'timers')],
    ['tries sooner for the patient', { live: true, expiries: [NOW + 9_000] }, patient, wait(50, 'timers')],
    ['believes for a moment that what blocked is gone', {}, hasty, wait(10, 'unseen')],
    ['gives up on what is not to be seen', { nothingSince: NOW - 501 }, hasty, giveUp('unseen')],
    ['waits the interval for it if asked', { nothingSince: NOW - 501 }, patient, wait(50, 'unseen')],
    ['never waits beyond the deadline', { closing: true }, { deadline: NOW + 3 }, wait(3, 'closing')],
    ['gives up at the deadline', { closing: true }, { deadline: NOW }, giveUp('closing')],
    ['gives up at the deadline, however patient', { live: true }, { ...patient, deadline: NOW }, giveUp('live')],
  ])('%s', (_name, seen, patience, expected) => {
    expect(nextTry({ ...nothing, ...seen }, { ...hasty, ...patience }, NOW)).toEqual(expected);
  });

  it('copes with more timers than a call takes arguments', () => {
    const expiries = Array.from({ length: 300_000 }, (_, index) => NOW + 1_000 + index);
    expect(nextTry({ ...nothing, expiries }, hasty, NOW)).toEqual(wait(1_000, 'timers'));
  });
});
