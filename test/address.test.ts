import { expect, test } from 'vitest';
import { parseAddress } from '../src/address.ts';

test('a port alone is an address', () => {
  expect(parseAddress('3000')).toEqual({ port: 3000 });
});
