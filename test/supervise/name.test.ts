import { describe, expect, it } from 'vitest';
import { checkName, defaultName } from '../../src/supervise/name.ts';

describe('defaultName', () => {
  it.each([
    [['node', 'server.js'], '/srv/shop', 'shop'],
    [['/usr/bin/python3.11', '-m', 'http.server'], '/srv/shop', 'shop'],
    [['npm', 'start'], '/srv/my shop (new)', 'my-shop-new'],
    [['sh', '-c', 'exec ./server'], '/', 'sh'],
    [['nginx', '-g', 'daemon off;'], '/srv/shop', 'nginx'],
    [['./bin/server.sh'], '/srv/shop', 'server'],
    [['./…'], '/srv/shop', 'server'],
    [['ruby'], `/srv/${'x'.repeat(99)}`, 'x'.repeat(32)],
  ])('of %j in %s is %s', (command, cwd, name) => {
    expect(defaultName(command, cwd)).toBe(name);
    expect(checkName(name)).toBe(name);
  });
});

describe('checkName', () => {
  it.each(['', '.', '../x', 'a/b', '-x', 'a b', 'x'.repeat(64)])('refuses %j', name => {
    expect(() => checkName(name)).toThrow(/Invalid name/);
  });
});
