#!/usr/bin/env node
/*
 * `npm run demo`: sets up, builds, and restarts two servers that know nothing of relisten under the eyes of real clients:
 * first the bare way, stop and start, and then with `relisten run`.
 */
import { build } from './build.js';
import { setup } from './setup.js';

setup('demo');
if (!build()) throw new Error('The build failed: see above');
const { demo } = await import('./demo/demo.js');
process.exitCode = await demo();
