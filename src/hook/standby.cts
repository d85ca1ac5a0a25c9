/*
 * The next generation's process, in advance (supervise/standby.ts): Node is up, and nothing of the program has been read
 * yet. Loads what a server will need, says that it waits, and waits; blocked in read(2), so no other code of the process
 * runs meanwhile. Goes on when the supervisor says so, and ends when that has let go of it or has ended itself.
 */

const fs = process.getBuiltinModule('fs');

/** Who looks at the process table sees that this one does not serve yet. */
const NAME = 'relisten-spare';

/** Descriptors that fit without a wait later. */
const TABLE_SIZE = 4_096;

/** In the order in which a server needs it; synchronously, which import() is not. */
const PREPARATIONS = [
  () => require('./begin.cjs'),
  () => require('./listening.js'),
  () => require('./lifetime.js'),
  () => require('../drain/course.js'),
  () => require('../kernel/libc.js').hasLibc(),
  () => require('./rehearse.js').rehearse(),
  (gate: number) => require('../kernel/fd.js').growTableNow(gate, TABLE_SIZE),
];

stand(Number(process.env.RELISTEN_STANDBY));

function stand(gate: number): void {
  // Neither what this process starts nor its threads stand by.
  delete process.env.RELISTEN_STANDBY;
  try {
    if (prepare(gate)) wait(gate);
  } finally {
    fs.closeSync(gate);
  }
}

/** False where the restart came first. */
function prepare(gate: number): boolean {
  for (const preparation of PREPARATIONS) {
    if (isToldToGoOn(gate)) return false;
    preparation(gate);
  }
  return true;
}

function wait(gate: number): void {
  require('../kernel/fd.js').setNonblocking(gate, false);
  const resumeName: () => void = require('../kernel/thread-name.js').nameMainThread(NAME);
  const { uptime } = process;
  const since = uptime();
  try {
    fs.writeSync(gate, 'w');
  } catch {
    // Told already.
  }
  while (!isToldToGoOn(gate));
  const waited = uptime() - since;
  process.uptime = () => uptime() - waited;
  resumeName();
  const listening = require('./listening.js');
  listening.setLoaded();
  require('./begin.cjs').setLoaded(listening);
}

/** False while nothing is said. */
function isToldToGoOn(gate: number): boolean {
  try {
    if (fs.readSync(gate, Buffer.alloc(1)) === 1) return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Nothing yet; it was stopped and continued (signal(7), "Interruption of system calls"); or the supervisor has closed its
    // end without reading ours, which a SOCK_SEQPACKET socket tells of once, before what the supervisor had said.
    if (code === 'EAGAIN' || code === 'EINTR' || code === 'ECONNRESET') return false;
  }
  process.kill(process.pid, 'SIGKILL');
  return false;
}
