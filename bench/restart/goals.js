/*
 * What relisten's own row must reach; the others have no goals.
 */
import { goal, quantile } from '../goal.js';

/** @param {import('./summary.js').Summary[]} all */
export function checkGoals(all) {
  for (const one of all.filter(({ row }) => row === 'relisten')) {
    const { load, restarts, failures } = one;
    if (one.crash) {
      const others = (failures.refused ?? 0) + (failures.timeout ?? 0);
      goal(`relisten, ${load}, ${restarts} kills: refused or never answered`, others, 'requests', { atMost: 0 });
      continue;
    }
    const what = `relisten, ${load}, ${restarts} restarts`;
    goal(`${what}: lost`, one.lost, 'requests', { atMost: 0 });
    goal(`${what}: idle keep-alive connections closed`, one.closedIdle, 'connections', { atMost: 0 });
    const ratio = quantile(one.firstAnswerMs) / quantile(one.bootMs);
    goal(`${what}: first answer of the new version ÷ bare boot, medians`, ratio, '×', { atMost: 1.05 });
  }
}
