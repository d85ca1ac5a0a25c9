/*
 * What a restart under relisten takes: from the request until the new generation answers its first client, against
 * starting the same server bare, until it answers its first. In turns, a round at a time, so that all meet the same noise.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { goal, quantile } from './goal.js';
import { freePort, Hello } from './hello.js';

const ROUNDS = Number(process.argv[2] ?? 30);
/** Three subjects take turns: each has the next generation stand by when its turn comes, and not while another has its. */
const PAUSE_MS = 2_000;
const CALIBRATIONS = 5;

/**
 * Nobody asks before an answer is near: the old server would answer each look, on the core that the new one boots on, where
 * a bare one is refused by the kernel.
 */
const quietMs = { bare: 0, alone: 0, hooked: 0 };

const supervised = {
  alone: new Hello(await freePort(), ['--no-hook']),
  hooked: new Hello(await freePort(), []),
};
await Promise.all([supervised.alone.firstAnswer(1), supervised.hooked.firstAnswer(1)]);
/** @type {number[]} */
const bare = [];
/** @type {number[]} */
const alone = [];
/** @type {number[]} */
const hooked = [];
for (let generation = 2; generation < CALIBRATIONS + ROUNDS + 2; generation++) {
  await delay(PAUSE_MS);
  bare.push(await bareStart());
  await delay(PAUSE_MS);
  alone.push(await restart('alone', generation));
  await delay(PAUSE_MS);
  hooked.push(await restart('hooked', generation));
  if (generation !== CALIBRATIONS + 1) continue;
  for (const [name, times] of Object.entries({ bare, alone, hooked })) {
    quietMs[/** @type {keyof typeof quietMs} */ (name)] = 0.8 * Math.min(...times.splice(0));
  }
}
await Promise.all([supervised.alone.stop(), supervised.hooked.stop()]);

/** @param {number[]} times */
const ratios = times => times.map((time, round) => time / (bare[round] ?? Number.NaN));
goal('starting bare, until the first answer, median', quantile(bare), 'ms');
goal('a restart, until the new generation answers, median', quantile(alone), 'ms');
goal('a restart ÷ starting bare, median of the rounds', quantile(ratios(alone)), '×', { atMost: 1.05 });
goal('with the hook, where the next generation stands by: a restart, median', quantile(hooked), 'ms');
goal('the same ÷ starting bare, median of the rounds', quantile(ratios(hooked)), '×', { atMost: 1.05 });

async function bareStart() {
  const begun = performance.now();
  const server = new Hello(await freePort(), undefined);
  const took = (await server.firstAnswer('', quietMs.bare)) - begun;
  await server.stop();
  return took;
}

/** @param {keyof typeof supervised} name @param {number} generation */
async function restart(name, generation) {
  const begun = performance.now();
  supervised[name].process.kill('SIGHUP');
  return (await supervised[name].firstAnswer(generation, quietMs[name])) - begun;
}
