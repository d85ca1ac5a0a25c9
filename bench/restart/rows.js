/*
 * Everything that is compared, in the order of the table. A row says how its server is started and how it is restarted;
 * that it has come up, that the new version answers and that the old one is gone is seen from outside: see measure.js.
 */
import { activationRows } from './ways/activation.js';
import { goRows } from './ways/go.js';
import { nodeRows } from './ways/node.js';
import { proxyRows } from './ways/proxies.js';
import { pythonRows } from './ways/python.js';
import { rubyRows } from './ways/ruby.js';

/**
 * Where a row runs.
 * @typedef {{ host: string, port: number, spare: number, folder: string }} Place
 *
 * A server that runs, and how it is restarted: resolves when whoever does it says that it is done, or at once where
 * nobody says so. `apart` are processes that neither serve nor supervise.
 * @typedef {{ restart(): unknown, apart?: number[] }} Running
 *
 * @typedef {object} Row
 * @property {string} id
 * @property {string} title
 * @property {string} server what is restarted; rows of one server are to be compared
 * @property {(place: Place) => Running | Promise<Running>} start
 * @property {() => unknown} [prepare] fetches what it needs, while there is a network
 * @property {boolean} [systemd] runs beside a `systemd --user`
 * @property {0 | 1} [migrate] net.ipv4.tcp_migrate_req
 * @property {string[]} [boot] the same server alone, to be started beside it with PORT in the environment
 */

/** @type {Row[]} */
export const ROWS = [...nodeRows, ...activationRows, ...goRows, ...pythonRows, ...rubyRows, ...proxyRows];
