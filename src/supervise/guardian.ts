import { closeSync, createReadStream, createWriteStream, openSync } from 'node:fs';
import { close } from '../kernel/fd.ts';
import { POLLIN, Poller } from '../kernel/poll.ts';
import { receive, respondContinue } from '../kernel/seccomp.ts';

/*
 * What lifeline.ts becomes when relisten was killed, one for each generation, or has ended before a process that is still
 * under the filter: bind(2) and listen(2) go on as if nobody looked, where a closed notification descriptor would fail them
 * with ENOSYS (seccomp_unotify(2)); and the output goes on to where it went. It ends with the last of those processes.
 *
 * Arguments: the pid that it is for, the notification descriptor or `-`, then a pair `read:target` for each pipe, and the
 * id of each call that relisten had received and may not have answered.
 */

const [pid, notify = '-', ...rest] = process.argv.slice(2);

if (notify !== '-') {
  answer(Number(notify));
  // One that was answered is not there any more, which is no error.
  for (const id of rest.filter(word => /^\d+$/.test(word))) respondContinue(Number(notify), BigInt(id));
}
const taps = rest.filter(word => word.includes(':')).map(tap => tap.split(':').map(Number));
for (const [read = 0, target = 2] of taps) {
  // Opened anew: the description is non-blocking for relisten's sake, and shared (fcntl(2), O_NONBLOCK).
  const source = createReadStream(`/proc/self/fd/${read}`);
  source.on('open', () => close(read));
  source.pipe(createWriteStream('', { fd: target, autoClose: false }).on('finish', () => letGo(target)));
  source.on('error', () => source.destroy());
}
for (const target of [1, 2]) if (!taps.some(([, used]) => used === target)) letGo(target);
process.title = `relisten guardian of ${pid}`;

/** Who reads our stdout or stderr to its end is not to wait for us: open(2) takes the lowest number that is free. */
function letGo(target: number): void {
  closeSync(target);
  openSync('/dev/null', 'w');
}

function answer(notifyFd: number): void {
  const poller = new Poller();
  poller.add(notifyFd, POLLIN, revents => {
    if ((revents & POLLIN) === 0) {
      poller.close(); // the last process under the filter has ended
      return;
    }
    const notification = receive(notifyFd);
    if (notification) respondContinue(notifyFd, notification.id);
  });
}
