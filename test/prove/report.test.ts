import { describe, expect, test } from 'vitest';
import { generationBars } from '../../src/prove/html/bars.ts';
import { proofReport } from '../../src/prove/report.ts';
import { flawlessProof, lossyProof } from './sample-proof.ts';

describe('the report for a terminal', () => {
  test('is a table, the facts and the verdict', () => {
    expect(`\n${proofReport(lossyProof).join('\n')}\n`).toMatchInlineSnapshot(`
      "
                                                           steady, ms  during restarts, ms
                      requests  failed  idle closed   p50   p99   max   p50   p99   max
      keep-alive-get       300       2           38  0.40  3.00  6.00  0.40  12.0  24.0

      failures                  eof 2 (steady 0, restart 2, after 0)
      closed while idle         38 connections
      first answer of the new   84.0 ms after the request (84.0 ms to 84.0 ms)
      longest gap               61.0 ms without a good answer
      versions that answered    2
      left out                  slow: GET /slow answers 404
      this load was late by     1.40 ms (p99), 3.00 ms at most

      FAILED  2 of 300 requests failed
      "
    `);
  });

  test('of a run without a loss says none', () => {
    const report = proofReport(flawlessProof);
    expect(report.find(line => line.startsWith('failures'))).toMatch(/failures +none/);
    expect(report.at(-1)).toBe('PASSED  None of 300 requests failed in 1 restart');
  });

  test('marks what was lost for whoever paints it', () => {
    const bad: string[] = [];
    proofReport(lossyProof, (tone, text) => {
      if (tone === 'bad') bad.push(text.trim());
      return text;
    });
    expect(bad).toEqual(['FAILED', '2']);
  });
});

describe('generations as bars', () => {
  test('that overlap take different rows, and a free row is used again', () => {
    const events = [1, 2, 3].flatMap(number => [
      { at: number * 100, generation: `${number}`, state: 'starting' as const },
      { at: number * 100 + 20, generation: `${number}`, state: 'ready' as const },
      { at: number * 100 + 120, generation: `${number}`, state: 'draining' as const },
      { at: number * 100 + 150, generation: `${number}`, state: 'exited' as const },
    ]);
    const bars = generationBars(events, 1000);
    expect(bars.map(({ generation, row }) => [generation, row])).toEqual([
      ['1', 0],
      ['2', 1],
      ['3', 0],
    ]);
    expect(bars[0]?.stretches).toEqual([
      { state: 'starting', from: 100, to: 120 },
      { state: 'ready', from: 120, to: 220 },
      { state: 'draining', from: 220, to: 250 },
    ]);
  });

  test('are cut at the ends of the run, and one that failed keeps a mark', () => {
    const bars = generationBars(
      [
        { at: -50, generation: '1', state: 'starting' },
        { at: -10, generation: '1', state: 'ready' },
        { at: 400, generation: '2', state: 'starting' },
        { at: 450, generation: '2', state: 'failed' },
      ],
      1000,
    );
    expect(bars[0]?.stretches).toEqual([{ state: 'ready', from: 0, to: 1000 }]);
    expect(bars[1]?.stretches).toEqual([
      { state: 'starting', from: 400, to: 450 },
      { state: 'failed', from: 450, to: 455 },
    ]);
  });
});
