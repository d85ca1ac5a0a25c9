import { readFileSync } from 'node:fs';

/** A kernel parameter of the caller's network namespace, by its dotted name (sysctl(8)); undefined where there is none. */
export function sysctl(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** The range of ports that clients are given, both ends included (ip(7), ip_local_port_range); the default of Linux, else RFC 6335's, if unknown. */
export function ephemeralPorts(): [first: number, last: number] {
  const [first, last] = (sysctl('net.ipv4.ip_local_port_range') ?? '').split(/\s+/).map(Number);
  if (first && last) return [first, last];
  return process.platform === 'linux' ? [32768, 60999] : [49152, 65535];
}

/** The first port that everybody may bind (ip(7), ip_unprivileged_port_start, Linux 4.11). */
export function firstUnprivilegedPort(): number {
  return Number(sysctl('net.ipv4.ip_unprivileged_port_start') ?? 1024);
}
