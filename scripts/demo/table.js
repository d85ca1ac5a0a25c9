/*
 * The demo's table: what the clients of each server saw, way by way.
 */
import { stripVTControlCharacters, styleText } from 'node:util';

const HEAD = ['server', 'restarted by', 'back after', 'requests', 'refused', 'cut off', 'timed out', 'lost'];

/** @param {import('./demo.js').Outcome[]} outcomes */
export function showTable(outcomes) {
  const rows = outcomes.map(({ server, way, restarts, load }, index) => {
    const { refused = 0, timeout = 0 } = load.failures;
    const lost = `${load.failed} (${((100 * load.failed) / load.due).toFixed(load.failed > 0 ? 1 : 0)} %)`;
    return [
      outcomes[index - 1]?.server === server ? '' : server.name,
      way,
      backAfter(restarts),
      String(load.due),
      String(refused),
      String(load.failed - refused - timeout),
      String(timeout),
      styleText(load.failed > 0 ? 'red' : 'green', lost),
    ];
  });
  const widths = HEAD.map((_, column) => Math.max(...[HEAD, ...rows].map(row => lengthOf(row[column]))));
  const line = (/** @type {string[]} */ row) =>
    row.map((cell, column) => pad(cell, widths[column] ?? 0, column >= 2)).join('   ');
  return [styleText('bold', line(HEAD)), ...rows.map(line)].join('\n');
}

/** The median, or that it never was. @param {import('./way.js').Restart[]} restarts */
function backAfter(restarts) {
  const times = restarts.map(({ ms }) => ms ?? Number.POSITIVE_INFINITY).sort((a, b) => a - b);
  const middle = times[times.length >> 1] ?? Number.POSITIVE_INFINITY;
  return Number.isFinite(middle) ? `${Math.round(middle)} ms` : 'not in 5 s';
}

/** @param {string} cell @param {number} width @param {boolean} right */
function pad(cell, width, right) {
  const blanks = ' '.repeat(Math.max(0, width - lengthOf(cell)));
  return right ? blanks + cell : cell + blanks;
}

/** @param {string} [text] */
function lengthOf(text = '') {
  return stripVTControlCharacters(text).length;
}
