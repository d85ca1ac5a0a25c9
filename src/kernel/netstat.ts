import { parseToolAddress, parseToolState, type ToolSocket } from './tool-socket.ts';

/**
 * Reads `netstat -ano -p TCP` and `-p TCPv6` of Windows:
 *
 * ```
 *   TCP    127.0.0.1:3000    0.0.0.0:0    LISTENING    4242
 * ```
 *
 * Windows translates the states. A word that is unknown is a listener where there is no peer, TIME_WAIT where there is no
 * process, and else a connection.
 */
export function parseWindowsNetstat(text: string): ToolSocket[] {
  return text.split('\n').flatMap(line => {
    const [protocol, localText = '', peerText = '', word = '', owner = ''] = line.trim().split(/\s+/);
    if (protocol !== 'TCP' || !/^\d+$/.test(owner)) return [];
    const local = parseToolAddress(localText, 'IPv4');
    const peer = parseToolAddress(peerText, 'IPv4');
    if (!local || !peer) return [];
    const pid = Number(owner);
    const guess = peer.port === 0 ? 'LISTEN' : pid === 0 ? 'TIME_WAIT' : 'ESTABLISHED';
    const socket: ToolSocket = { state: parseToolState(word) ?? guess, local };
    if (peer.port !== 0) socket.peer = peer;
    if (pid !== 0) socket.pid = pid;
    return [socket];
  });
}

/**
 * Reads `netstat -an -p tcp` of macOS and BSD, which shows TIME_WAIT and no processes:
 *
 * ```
 * tcp4       0      0  127.0.0.1.3000         127.0.0.1.51234        TIME_WAIT
 * tcp46      0      0  *.3000                 *.*                    LISTEN
 * ```
 */
export function parseBsdNetstat(text: string): ToolSocket[] {
  return text.split('\n').flatMap(line => {
    const [protocol = '', , , localText = '', peerText = '', word = ''] = line.trim().split(/\s+/);
    if (!/^tcp(4|6|46)$/.test(protocol)) return [];
    const family = protocol === 'tcp4' ? 'IPv4' : 'IPv6';
    const local = parseToolAddress(localText, family);
    const state = parseToolState(word);
    if (!local || !state) return [];
    const peer = parseToolAddress(peerText, family);
    return [{ state, local, ...(peer && { peer }) }];
  });
}
