/*
 * What a restart under relisten takes: from the request until the new generation answers its first client, against
 * starting the same server bare, until it answers its first. In turns, a round at a time, so that all meet the same noise.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { goal, quantile } from './goal.js';
import { freePort, Hello } from './hello.js';

const ROUNDS = Number(process.argv[2] ?? 30);
/** relisten sets the stage for the next restart half a second after the last. */
const PAUSE_MS = 900;

/**
 * For so long nobody asks: the old server would answer each look, on the core that the new one boots on, where a bare one
 * is refused by the kernel.
 */
let quietMs = 0;
const calibration = [];
for (let i = 0; i < 5; i++) calibration.push(await bareStart());
quietMs = 0.8 * Math.min(...calibration);

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
for (let generation = 2; generation < ROUNDS + 2; generation++) {
  await delay(PAUSE_MS);
  bare.push(await bareStart());
  await delay(PAUSE_MS);
  alone.push(await restart(supervised.alone, generation));
  await delay(PAUSE_MS);
  hooked.push(await restart(supervised.hooked, generation));
}
await Promise.all([supervised.alone.stop(), supervised.hooked.stop()]);

/** @param {number[]} times */
const ratios = times => times.map((time, round) => time / (bare[round] ?? Number.NaN));
goal('starting bare, until the first answer, median', quantile(bare), 'ms');
goal('a restart, until the new generation answers, median', quantile(alone), 'ms');
goal('a restart ÷ starting bare, median of the rounds', quantile(ratios(alone)), '×', { atMost: 1.05 });
goal('with the hook, which also hands off and drains: a restart, median', quantile(hooked), 'ms');
goal('with the hook: a restart ÷ starting bare, median of the rounds', quantile(ratios(hooked)), '×');

async function bareStart() {
  const begun = performance.now();
  const server = new Hello(await freePort(), undefined);
  const took = (await server.firstAnswer('', quietMs)) - begun;
  await server.stop();
  return took;
}

/** @param {Hello} server @param {number} generation */
async function restart(server, generation) {
  const begun = performance.now();
  server.process.kill('SIGHUP');
  return (await server.firstAnswer(generation, quietMs)) - begun;
}
