/*
 * A server that had many clients, for benchmarks: run in a network namespace of its own it makes connections on loopback,
 * closes most of them first, so that TIME_WAIT is on its side, says `ready`, and holds the rest until stdin ends.
 *
 * Arguments: the port that it listens on, the ports that the connections are on (a,b,c), how many TIME_WAIT and how many
 * established in all, and whether the servers had SO_REUSEADDR set (address) or not (none).
 */
import { writeFileSync } from 'node:fs';
import { DIST } from './goal.js';

const { accept, bind, connect, listen, setOption, socket } = await import(`${DIST}/kernel/socket.js`);
const { close } = await import(`${DIST}/kernel/fd.js`);

const [port, ports, waiting, established, reuse] = process.argv.slice(2);
writeFileSync('/proc/sys/net/ipv4/tcp_max_tw_buckets', '500000');
writeFileSync('/proc/sys/net/ipv4/ip_local_port_range', '10000 65000');

/** @param {number} number */
function serve(number) {
  const fd = socket('IPv4');
  if (reuse === 'address') setOption(fd, 'SO_REUSEADDR', 1);
  bind(fd, { family: 'IPv4', host: '0.0.0.0', port: number });
  listen(fd, 4096);
  return fd;
}

const listeners = new Map((ports ?? '').split(',').map(number => [Number(number), serve(Number(number))]));
if (!listeners.has(Number(port))) listeners.set(Number(port), serve(Number(port)));
const crowded = (ports ?? '').split(',').map(Number);

/** A connection to the next of the ports, from one of a few hosts, so that the ports of clients suffice. */
let turn = 0;
function connection() {
  const number = crowded[turn % crowded.length] ?? 0;
  const client = socket('IPv4');
  // Otherwise TIME_WAIT of earlier ones would make the kernel look long for a free port.
  connect(client, { family: 'IPv4', host: `127.0.0.${1 + (turn++ % 8)}`, port: number });
  return { client, server: accept(listeners.get(number) ?? -1) };
}

for (let i = 0; i < Number(waiting); i++) {
  const { client, server } = connection();
  close(server);
  close(client);
}
for (let i = 0; i < Number(established); i++) connection();
// With nothing left to listen, what is on the ports is what a server leaves.
if (process.argv[7] === 'gone') for (const fd of listeners.values()) close(fd);
console.log('ready');
process.stdin.on('end', () => process.exit()).resume();
