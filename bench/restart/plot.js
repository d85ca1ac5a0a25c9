/*
 * The summaries as a picture: what 1,000 restarts lose, a bar for each way and load, on a logarithmic scale.
 */

const WIDTH = 1090;
const LEFT = 430;
const RIGHT = 90;
const BAR = 9;
const ROW = 28;
const TOP = 64;
/** Of the light and of the dark theme at once. @type {Record<string, string>} */
const COLOURS = { base: '#d97706', 'keep-alive-heavy': '#2563eb' };

/** @param {import('./summary.js').Summary[]} all */
export function plot(all) {
  const shown = all.filter(({ crash }) => !crash);
  const loads = [...new Set(shown.map(({ load }) => load))];
  const ids = [...new Set(shown.map(({ row }) => row))];
  const losses = shown.map(perThousand);
  const decades = Math.max(1, Math.ceil(Math.log10(Math.max(10, ...losses))));
  const x = (/** @type {number} */ value) => LEFT + ((WIDTH - LEFT - RIGHT) * Math.log10(Math.max(1, value))) / decades;
  const height = TOP + ids.length * ROW + 12;
  const rows = ids.map((id, index) => {
    const some = shown.filter(({ row }) => row === id);
    const y = TOP + index * ROW;
    const bars = some.map(one => bar(one, x, y + loads.indexOf(one.load) * (BAR + 2)));
    const { title = '', server = '' } = some[0] ?? {};
    return `${text(LEFT - 10, y + 14, `${title}${title.includes(server) ? '' : `, ${server}`}`, 'end')}${bars.join('')}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12">
<title>Requests lost per 1,000 restarts</title>
<style>text { fill: #1f2937 } line { stroke: #9ca3af } @media (prefers-color-scheme: dark) { text { fill: #e5e7eb } }</style>
${text(LEFT, 18, 'Requests lost per 1,000 restarts')}
${loads.map((load, index) => legend(load, index)).join('\n')}
${Array.from({ length: decades + 1 }, (_, power) => tick(x(10 ** power), 10 ** power, height)).join('\n')}
${rows.join('\n')}
</svg>
`;
}

/** @param {import('./summary.js').Summary} one */
function perThousand({ lost, restarts }) {
  return (lost * 1000) / restarts;
}

/** @param {import('./summary.js').Summary} one @param {(value: number) => number} x @param {number} y */
function bar(one, x, y) {
  const value = perThousand(one);
  const width = Math.max(value > 0 ? 2 : 0, x(value) - LEFT);
  const label = Math.round(value).toLocaleString('en');
  const box = `<rect x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" fill="${COLOURS[one.load] ?? '#6b7280'}"/>`;
  return `${box}${text(LEFT + width + 5, y + BAR - 1, label, 'start', 10)}`;
}

/** @param {string} load @param {number} index */
function legend(load, index) {
  const x = LEFT + 240 + index * 170;
  return `<rect x="${x}" y="9" width="12" height="${BAR}" fill="${COLOURS[load] ?? '#6b7280'}"/>${text(x + 18, 18, `load ${load}`)}`;
}

/** @param {number} x @param {number} value @param {number} height */
function tick(x, value, height) {
  const at = x.toFixed(1);
  return `<line x1="${at}" x2="${at}" y1="${TOP - 10}" y2="${height - 8}" stroke-width="0.5"/>${text(x, TOP - 16, value.toLocaleString('en'), 'middle', 10)}`;
}

/** @param {number} x @param {number} y @param {string} words */
function text(x, y, words, anchor = 'start', size = 12) {
  const escaped = words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y}" text-anchor="${anchor}" font-size="${size}">${escaped}</text>`;
}
