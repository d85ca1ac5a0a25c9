import { createReadStream, createWriteStream } from 'node:fs';
import { close } from '../kernel/fd.ts';
import { POLLIN, Poller } from '../kernel/poll.ts';
import { receive, respondContinue } from '../kernel/seccomp.ts';

/*
 * What lifeline.ts becomes when relisten was killed, one for each generation: bind(2) and listen(2) of its processes go
 * on as if nobody looked, where a closed notification descriptor would fail them with ENOSYS (seccomp_unotify(2)); and
 * its output goes on to where it went. It ends with the generation.
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
for (const tap of rest.filter(word => word.includes(':'))) {
  const [read = 0, target = 2] = tap.split(':').map(Number);
  // Opened anew: the description is non-blocking for relisten's sake, and shared (fcntl(2), O_NONBLOCK).
  const source = createReadStream(`/proc/self/fd/${read}`);
  source.on('open', () => close(read));
  source.pipe(createWriteStream('', { fd: target, autoClose: false }));
  source.on('error', () => source.destroy());
}
process.title = `relisten guardian of ${pid}`;

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
