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
    if (!one.askedMs?.length) continue;
    const [asked, boot] = [quantile(one.askedMs), quantile(one.bootMs)];
    const pair = `${Math.round(asked)} ms ÷ ${Math.round(boot)} ms`;
    goal(`${what}: first answer to a new client ÷ bare boot (${pair})`, asked / boot, '×', { atMost: 1.05 });
  }
}
