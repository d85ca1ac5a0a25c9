import { parseToolAddress, parseToolState, type ToolSocket } from './tool-socket.ts';

/** Arguments for lsof(8) to print, a field a line, every TCP socket with this port on either end. */
export function lsofArguments(port: number): string[] {
  return ['-nP', `-iTCP:${port}`, '-F', 'pftTn'];
}

/**
 * Reads it: `p` begins a process, `f` a descriptor of it (lsof(8), "OUTPUT FOR OTHER PROGRAMS"). TIME_WAIT belongs to no
 * process and is not in it.
 */
export function parseLsof(text: string): ToolSocket[] {
  const sockets: ToolSocket[] = [];
  let pid: number | undefined;
  let fields: Record<string, string> = {};
  const end = () => {
    const family = fields.t === 'IPv6' ? 'IPv6' : 'IPv4';
    const [localText = '', peerText] = (fields.n ?? '').split('->');
    const local = parseToolAddress(localText, family);
    const peer = peerText === undefined ? undefined : parseToolAddress(peerText, family);
    const state = parseToolState(fields.T ?? '');
    if (local && state && pid !== undefined) sockets.push({ state, local, ...(peer && { peer }), pid });
    fields = {};
  };
  for (const line of text.split('\n')) {
    const [key = '', value] = [line[0], line.slice(1)];
    if (key === 'p' || key === 'f') end();
    if (key === 'p') pid = /^\d+$/.test(value) ? Number(value) : undefined;
    else if (key === 'T') {
      if (value.startsWith('ST=')) fields.T = value.slice(3);
    } else fields[key] = value;
  }
  end();
  return sockets;
}

/** The working directory in the output of `lsof -a -d cwd -p PID -Fn`. */
export function parseLsofCwd(text: string): string | undefined {
  return /^n(\/.*)$/m.exec(text)?.[1];
}
