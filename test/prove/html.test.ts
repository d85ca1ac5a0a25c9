import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import { proofPage } from '../../src/prove/html/page.ts';
import type { Proof } from '../../src/prove/proof.ts';
import { needs } from '../tools.ts';
import { flawlessProof, lossyProof } from './sample-proof.ts';

const { test } = needs('chromium');

const FLAGS =
  '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync';

/** Runs in the page, which has another library than this file. */
const LOW_CONTRAST = readFileSync(new URL('./low-contrast.js', import.meta.url), 'utf8');

let browser: Browser;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'page-'));
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS.split(' ') });
});

afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Opens the page of a proof from a file, as people do, and notes what it asks the network for and complains of. */
async function open(proof: Proof, colorScheme: 'light' | 'dark', width = 1240) {
  const file = join(folder, 'report.html');
  writeFileSync(file, proofPage(proof));
  const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 } });
  const noise: string[] = [];
  page.on('request', request => {
    if (!request.url().startsWith('file:')) noise.push(request.url());
  });
  page.on('console', message => noise.push(message.text()));
  page.on('pageerror', error => noise.push(error.message));
  await page.goto(pathToFileURL(file).href);
  return { page, noise };
}

test('the page shows generations, every failure, the latency of each class and the verdict', async () => {
  const { page, noise } = await open(lossyProof, 'light');
  expect(await page.locator('.badge').textContent()).toBe('failed');
  expect(await page.locator('svg rect.starting').count()).toBe(1);
  expect(await page.locator('svg rect.ready').count()).toBe(2);
  expect(await page.locator('svg rect.draining').count()).toBe(1);
  expect(await page.locator('svg rect.band').count()).toBe(1);
  expect(await page.locator('svg line.lost-mark').count()).toBe(2);
  expect(await page.locator('svg circle.max').count()).toBe(59);
  expect(await page.locator('svg polyline.p50').count()).toBeGreaterThan(0);
  expect(await page.locator('table.failures tbody tr').textContent()).toMatch(/^2keep-alive-geteofrestart/);
  expect(noise).toEqual([]);
  await page.close();
});

test('what the page says of commands and errors is text, never markup', async () => {
  const { page } = await open(lossyProof, 'light');
  expect(await page.locator('.about code').first().textContent()).toBe('node "app".js <dev>');
  expect(await page.locator('script, img, link, iframe').count()).toBe(0);
  await page.close();
});

test('it is readable in light and dark: text stands out against its ground by at least 4.5 to 1', async () => {
  for (const scheme of ['light', 'dark'] as const) {
    const { page } = await open(lossyProof, scheme);
    const low = await page.evaluate(LOW_CONTRAST);
    expect(low, scheme).toEqual([]);
    const shot = join(folder, `${scheme}.png`);
    await page.screenshot({ path: shot, fullPage: true });
    expect(statSync(shot).size).toBeGreaterThan(20_000);
    await page.close();
  }
});

test('a run without a loss has no marks, and a narrow window does not scroll sideways', async () => {
  const { page, noise } = await open(flawlessProof, 'dark', 420);
  expect(await page.locator('.badge').textContent()).toBe('passed');
  expect(await page.locator('.lost-mark, table.failures').count()).toBe(0);
  const overflow = await page.evaluate('document.documentElement.scrollWidth - window.innerWidth');
  expect(overflow).toBeLessThanOrEqual(0);
  expect(noise).toEqual([]);
  await page.close();
});
