import { statSync } from 'node:fs';
import type { SocketAddress } from '../address.ts';
import { grantedBacklog } from '../kernel/backlog.ts';
import { describeSocket } from '../kernel/socket.ts';

/** What was asked for, where anything was. */
export interface Asked {
  backlog: number;
  ipv6Only?: boolean;
  mode?: number;
}

/** Compares what a listener is with what was asked for; a sentence for each difference. */
export function verify(fd: number, address: SocketAddress, asked: Asked): string[] {
  return [checkBacklog(fd, asked), checkV6only(fd, address, asked), checkMode(address, asked)].flatMap(
    difference => difference ?? [],
  );
}

function checkBacklog(fd: number, { backlog }: Asked): string | undefined {
  const granted = grantedBacklog(fd, backlog);
  if (granted === undefined || granted >= backlog) return undefined;
  return `The kernel capped the backlog at ${granted}, not ${backlog}: raise net.core.somaxconn (listen(2))`;
}

function checkV6only(fd: number, { family }: SocketAddress, { ipv6Only }: Asked): string | undefined {
  if (family !== 'IPv6' || ipv6Only === undefined) return undefined;
  const v6only = describeSocket(fd)?.v6only ?? false;
  if (v6only === ipv6Only) return undefined;
  return `The listener has IPV6_V6ONLY ${v6only ? 'set' : 'not set'}, and ipv6Only: ${ipv6Only} was asked for`;
}

function checkMode(address: SocketAddress, { mode }: Asked): string | undefined {
  if (address.family !== 'unix' || mode === undefined) return undefined;
  if (address.path.startsWith('\0'))
    return 'An abstract unix socket has no mode: whoever is in its network namespace may connect';
  const actual = Number(statSync(address.path, { bigint: true, throwIfNoEntry: false })?.mode ?? 0n) & 0o777; // see kernel/stat.ts;
  if (actual === mode) return undefined;
  return `The mode of ${address.path} is ${actual.toString(8)}, and ${mode.toString(8)} was asked for`;
}
