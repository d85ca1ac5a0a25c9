import { expect, it } from 'vitest';
import { planBind, type Reuse } from '../../src/bind/plan.ts';

it.each<[Reuse, string[]]>([
  ['auto', ['address', 'both unless a socket listens']],
  ['address', ['address']],
  ['port', ['port']],
  ['both', ['both']],
  ['none', ['none']],
])('asked for %s, tries %j', (asked, expected) => {
  const steps = planBind(asked).map(({ reuse, unlessListening }) =>
    unlessListening ? `${reuse} unless a socket listens` : reuse,
  );
  expect(steps).toEqual(expected);
});
