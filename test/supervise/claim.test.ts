import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { claimName, claimNameLike, isClaimed, nameOf } from '../../src/supervise/claim.ts';

let runtime = '';
beforeEach(() => {
  runtime = mkdtempSync(join(tmpdir(), 'claim-'));
});
afterEach(() => rmSync(runtime, { recursive: true }));

describe('claimName', () => {
  it('gives a name to one at a time', () => {
    const first = claimName(runtime, 'web');
    expect(claimName(runtime, 'web')).toBeUndefined();
    expect(isClaimed(runtime, 'web')).toBe(true);
    first?.release();
    expect(isClaimed(runtime, 'web')).toBe(false);
    const second = claimName(runtime, 'web');
    expect(second?.name).toBe('web');
    second?.release();
  });

  it('leaves nothing behind', () => {
    const claim = claimName(runtime, 'web');
    writeFileSync(claim?.socket ?? '', '');
    claim?.release();
    expect(readdirSync(runtime)).toEqual([]);
  });

  it('leaves alone what another has claimed meanwhile', () => {
    const claim = claimName(runtime, 'web');
    rmSync(runtime, { recursive: true });
    mkdirSync(runtime);
    expect(claim?.isIntact).toBe(false);
    const other = claimName(runtime, 'web');
    for (const path of [other?.socket ?? '', join(other?.directory ?? '', 'ready.json')]) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, '');
    }
    const before = readdirSync(runtime, { recursive: true });
    claim?.release();
    expect(readdirSync(runtime, { recursive: true })).toEqual(before);
    expect(other?.isIntact).toBe(true);
    other?.release();
    expect(readdirSync(runtime)).toEqual([]);
  });

  it('keeps the directory that a surviving generation looks into', () => {
    const claim = claimName(runtime, 'web');
    writeFileSync(`${claim?.directory}.json`, '{}');
    claim?.release();
    expect(existsSync(`${claim?.directory}.json`)).toBe(true);
  });

  it('takes the name of a process that was killed', async () => {
    const script = 'exec 9>>"$0"; flock -n 9 && echo locked && exec sleep 60';
    const child = spawn('sh', ['-c', script, join(runtime, 'web.lock')], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    expect(claimName(runtime, 'web')).toBeUndefined();
    child.kill('SIGKILL');
    await once(child, 'exit');
    const claim = claimName(runtime, 'web');
    expect(claim?.name).toBe('web');
    claim?.release();
  });

  it('refuses what would be too long for a unix socket', () => {
    expect(() => claimName(join(runtime, 'x'.repeat(80)), 'web')).toThrow(/at most 107 bytes/);
  });
});

describe('claimNameLike', () => {
  it('adds a number to a name that is taken', () => {
    const claims = [1, 2, 3].map(() => claimNameLike(runtime, 'web'));
    expect(claims.map(claim => claim.name)).toEqual(['web', 'web-2', 'web-3']);
    for (const claim of claims) claim.release();
  });
});

describe('a claim whose lock was removed', () => {
  it('is renewed under its name, also where the directory is gone', () => {
    const claim = claimNameLike(runtime, 'web');
    rmSync(runtime, { recursive: true });
    claim.renew();
    expect(claim).toMatchObject({ name: 'web', isIntact: true, socket: join(runtime, 'web.sock') });
    expect(claimName(runtime, 'web')).toBeUndefined();
    claim.release();
  });

  it('is renewed under the next name where another has claimed its own', () => {
    const claim = claimNameLike(runtime, 'web');
    rmSync(join(runtime, 'web.lock'));
    const other = claimName(runtime, 'web');
    claim.renew();
    expect(claim).toMatchObject({ name: 'web-2', isIntact: true, directory: join(runtime, 'web-2.d') });
    expect(other?.isIntact).toBe(true);
    for (const each of [claim, other]) each?.release();
    expect(readdirSync(runtime)).toEqual([]);
  });
});

describe('nameOf', () => {
  it('finds a live supervisor by its process', () => {
    const claim = claimName(runtime, 'web');
    expect(nameOf(runtime, process.pid)).toBe('web');
    expect(nameOf(runtime, 1)).toBeUndefined();
    claim?.release();
    expect(nameOf(runtime, process.pid)).toBeUndefined();
  });
});
