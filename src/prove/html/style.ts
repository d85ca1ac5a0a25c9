/** The page's own sheet: system fonts, two colour schemes, nothing from elsewhere. */
export const STYLE = `
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --line: #e2e5ea; --grid: #eceff3; --text: #1b2330; --soft: #5d6878;
  --starting: #d9a21b; --ready: #2f9e6e; --yielding: #8cbf6a; --draining: #8d9bb0; --failed: #bf2a22; --restart: #3d6fd126;
  --latency: #2f66c8; --p99: #2f66c833; --max: #2f66c880; --good: #1d7f55; --good-back: #e1f4ea; --bad-back: #fde8e6; }
@media (prefers-color-scheme: dark) { :root {
  --page: #10141a; --card: #181e27; --line: #2b3340; --grid: #232a35; --text: #e6eaf0; --soft: #97a3b4;
  --starting: #e3b341; --ready: #3fb27f; --yielding: #6f9e58; --draining: #64748b; --failed: #ff6b60; --restart: #6c9bff24;
  --latency: #78a6ff; --p99: #78a6ff3d; --max: #78a6ff90; --good: #5fd39d; --good-back: #14352a; --bad-back: #42201f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 24px 56px; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 16px; }
h1 { font-size: 24px; line-height: 1.25; margin: 0; font-weight: 650; }
h2 { font-size: 16px; margin: 0 0 12px; font-weight: 650; }
.badge { padding: 3px 12px; border-radius: 999px; font-weight: 650; font-size: 14px; }
.badge.ok { color: var(--good); background: var(--good-back); }
.badge.lost { color: var(--failed); background: var(--bad-back); }
.about { color: var(--soft); margin: 6px 0 24px; overflow-wrap: anywhere; }
code { font: 13px/1.4 ui-monospace, monospace; color: var(--text); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(158px, 1fr)); gap: 12px; margin: 0 0 16px; }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: 12px 16px; }
.tile dt { color: var(--soft); font-size: 13px; }
.tile dd { margin: 2px 0 0; font-size: 22px; line-height: 1.25; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile small { display: block; color: var(--soft); font-size: 12.5px; font-weight: 400; }
.tile.lost dd { color: var(--failed); }
.card { padding: 18px 20px; margin: 0 0 16px; }
.scroll { overflow-x: auto; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; color: var(--soft); font-size: 13px; margin: 0 0 10px; padding: 0; list-style: none; }
.legend i { display: inline-block; width: 14px; height: 10px; border-radius: 3px; margin-right: 6px; }
.legend i.mark { width: 3px; height: 13px; border-radius: 1px; vertical-align: -2px; }
.legend i.line { height: 2px; vertical-align: 3px; }
svg { display: block; width: 100%; min-width: 760px; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--soft); font-variant-numeric: tabular-nums; }
svg text.name { fill: var(--text); font-weight: 600; }
svg text.inside { fill: #ffffff; font-size: 11px; font-weight: 600; }
.grid { stroke: var(--grid); stroke-width: 1; }
.axis { stroke: var(--line); stroke-width: 1; }
.band { fill: var(--restart); }
.starting { fill: var(--starting); background: var(--starting); }
.ready { fill: var(--ready); background: var(--ready); }
.yielding { fill: var(--yielding); background: var(--yielding); }
.draining { fill: var(--draining); background: var(--draining); }
.failed { fill: var(--failed); background: var(--failed); }
.lost-mark { stroke: var(--failed); stroke-width: 2; }
i.lost-mark { background: var(--failed); }
.p50 { fill: none; stroke: var(--latency); stroke-width: 1.75; stroke-linejoin: round; }
.p99 { fill: var(--p99); stroke: none; }
.max { fill: var(--max); }
i.p50 { background: var(--latency); } i.p99 { background: var(--p99); } i.max { background: var(--max); width: 6px; height: 6px; border-radius: 50%; vertical-align: 1px; }
i.band { background: var(--restart); border: 1px solid var(--line); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; font-size: 13px; }
th:first-child, td:first-child, .text { text-align: left; }
th.blank { border-bottom: 0; padding-bottom: 0; }
th.group { text-align: center; border-bottom: 0; padding-bottom: 0; }
td.wide { white-space: normal; overflow-wrap: anywhere; text-align: left; color: var(--soft); }
tbody tr:last-child td { border-bottom: 0; }
table.failures td:first-child, table.failures th:first-child { text-align: right; width: 1%; }
td.bad { color: var(--failed); font-weight: 600; }
tr.all td { font-weight: 600; }
footer { color: var(--soft); font-size: 13.5px; }
footer p { margin: 0 0 8px; max-width: 78ch; }
`;
