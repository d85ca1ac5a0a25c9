import type { ProcessFacts, Reason, SocketFacts } from '../inspection.ts';
import { type Facts, ownersOf, type Self } from './facts.ts';
import { relistenAmong } from './supervisor.ts';

/**
 * Why the address cannot be bound, from the facts alone. The first line that holds decides.
 *
 * | what was seen                                                             | reason                     |
 * |---------------------------------------------------------------------------|----------------------------|
 * | a unix path                                                               | see {@link reasonOfPath}   |
 * | the bind says EADDRNOTAVAIL, EAFNOSUPPORT or EINVAL                       | no-such-address            |
 * | every bind succeeds                                                       | free                       |
 * | a listener; an IPv4 one, `::` asked, and IPV6_V6ONLY would help           | v6only                     |
 * | – on another host or in the other family than was asked                   | other-family-or-wildcard   |
 * | – of another user, who let others join with SO_REUSEPORT                  | foreign-reuseport-group    |
 * | – held by a relisten                                                      | held-by-relisten           |
 * | – of an orphan of this program                                            | orphan-listener            |
 * | – any other                                                               | live-listener              |
 * | the bind says EACCES or EPERM                                             | no-right                   |
 * | none could be tried, and nothing is in the way                            | free                       |
 * | a socket that is bound only                                               | bound-only                 |
 * | a connection that this host opened                                        | ephemeral-client           |
 * | any other connection that is still open or closing                        | leftover-connections       |
 * | TIME_WAIT, or FIN_WAIT2 that no process has                               | time-wait                  |
 * | nothing                                                                   | unknown                    |
 */
export function reasonOf(facts: Facts): Reason {
  if (facts.target.family === 'unix') return reasonOfPath(facts);
  const codes = codesOf(facts);
  if (codes.some(code => code !== undefined && NO_ADDRESS.has(code))) return 'no-such-address';
  if (codes.length > 0 && codes.every(code => code === undefined)) return 'free';
  const [listener] = facts.listeners;
  if (listener) return reasonOfListener(facts, listener);
  if (codes.some(code => code !== undefined && NO_RIGHT.has(code))) return 'no-right';
  if (codes.length === 0 && facts.blockers.length === 0) return 'free';
  if (facts.blockers.some(({ state }) => state === 'CLOSE')) return 'bound-only';
  if (facts.blockers.some(socket => isOutgoing(socket, facts))) return 'ephemeral-client';
  if (facts.blockers.some(socket => !isTimed(socket))) return 'leftover-connections';
  return facts.blockers.length > 0 ? 'time-wait' : 'unknown';
}

const NO_ADDRESS: ReadonlySet<string> = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL']);
const NO_RIGHT: ReadonlySet<string> = new Set(['EACCES', 'EPERM']);

/** What binding the asked host answered under each option. */
export function codesOf(facts: Facts): (string | undefined)[] {
  const host = facts.target.family === 'unix' ? facts.target.path : facts.target.host;
  return facts.trials.filter(trial => trial.host === host).map(({ code }) => code);
}

function reasonOfListener(facts: Facts, listener: SocketFacts): Reason {
  if (facts.v6only && facts.v6only.code === undefined) return 'v6only';
  if (!facts.listeners.some(({ local }) => isAsked(facts, local))) return 'other-family-or-wildcard';
  if (facts.listeners.some(({ uid, reuseport }) => uid !== facts.self.uid && reuseport))
    return 'foreign-reuseport-group';
  const owners = ownersOf([listener]);
  if (relistenAmong(owners)) return 'held-by-relisten';
  const [owner] = owners;
  return owner && isOwnOrphan(owner, facts.self) ? 'orphan-listener' : 'live-listener';
}

/** Where no host was asked, any listener with the port is what was asked for. */
function isAsked({ asked, target }: Facts, local: SocketFacts['local']): boolean {
  if ('path' in asked || asked.host === undefined) return true;
  return 'host' in local && 'host' in target && local.host === target.host;
}

/** Left behind by an earlier run of what asks: the same command, or one in the same folder, of the same user. */
export function isOwnOrphan(owner: ProcessFacts, self: Self): boolean {
  if (!owner.orphaned || owner.uid !== self.uid || owner.pid === self.pid) return false;
  const sameCommand = owner.argv.length > 0 && owner.argv.join('\0') === self.argv.join('\0');
  return sameCommand || owner.cwd === self.cwd;
}

/**
 * Whether a connection was opened from here, with the port as its ephemeral one: its port is in the range for that, and
 * its peer's is not, or something on this host listens there.
 */
export function isOutgoing({ local, peer }: SocketFacts, { system, listeningPorts }: Facts): boolean {
  if (!peer || !('port' in peer) || !('port' in local)) return false;
  const [first, last] = system.ephemeralPorts;
  const isEphemeral = (port: number) => port >= first && port <= last;
  return isEphemeral(local.port) && (!isEphemeral(peer.port) || listeningPorts.has(peer.port));
}

function isTimed({ state, inode, remainingMs }: SocketFacts): boolean {
  return state === 'TIME_WAIT' || (inode === 0 && remainingMs !== undefined);
}

/**
 * The same for a unix path or abstract name.
 *
 * | at the path          | listener seen | connect answers     | bind answers  | reason            |
 * |----------------------|---------------|---------------------|---------------|-------------------|
 * | anything             | yes           |                     |               | live-unix-socket  |
 * | a socket             | no            | ECONNREFUSED        |               | stale-unix-socket |
 * | a socket             | no            | EACCES, EPERM       |               | no-right          |
 * | a socket             | no            | anything else       |               | live-unix-socket  |
 * | another kind of file |               |                     |               | not-a-socket      |
 * | nothing              | no            |                     | success       | free              |
 * | nothing              | no            |                     | ENOENT, ENOTDIR | no-such-address |
 * | nothing              | no            |                     | EACCES, EPERM, EROFS | no-right   |
 * | nothing              | bound only    |                     | EADDRINUSE    | bound-only        |
 * | nothing              | no            |                     | anything else | unknown           |
 *
 * An abstract name has nothing at its path. A socket file that is bound and not listened on refuses connections too, and
 * is told by its blocker: bound-only.
 */
function reasonOfPath(facts: Facts): Reason {
  if (facts.listeners.length > 0) return 'live-unix-socket';
  if (facts.file === 'other') return 'not-a-socket';
  if (facts.blockers.length > 0) return 'bound-only';
  const [code] = codesOf(facts);
  if (facts.file === 'socket') {
    const answer = facts.connect?.code;
    if (answer === 'ECONNREFUSED') return 'stale-unix-socket';
    return answer !== undefined && NO_RIGHT.has(answer) ? 'no-right' : 'live-unix-socket';
  }
  if (code === undefined) return 'free';
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'no-such-address';
  return NO_RIGHT.has(code) || code === 'EROFS' ? 'no-right' : 'unknown';
}
