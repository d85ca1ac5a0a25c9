import type { ProcessFacts } from '../inspection.ts';
import { formatCommand } from './procfs.ts';

/** Arguments for ps(1) of macOS, BSD and Linux. */
export function psArguments(pids: readonly number[]): string[] {
  return ['-ww', '-o', 'pid=,ppid=,uid=,user=,lstart=,command=', '-p', pids.join(',')];
}

const PS_LINE = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+\w{3} (\w{3}\s+\d+ [\d:]{8} \d{4})\s+(.*)$/;

/** Reads it, in the C locale. Whether a process is an orphan is not known here. */
export function parsePs(text: string): ProcessFacts[] {
  return text.split('\n').flatMap(line => {
    const [, pid, ppid, uid, user = '', started = '', command = ''] = PS_LINE.exec(line) ?? [];
    const startedAt = Date.parse(started);
    if (pid === undefined || Number.isNaN(startedAt)) return [];
    // The words of a command line are not to be told apart any more.
    const shown = formatCommand([command]);
    return [
      {
        pid: Number(pid),
        command: shown,
        argv: [command],
        uid: Number(uid),
        user,
        ppid: Number(ppid),
        orphaned: false,
        startedAt,
      },
    ];
  });
}

/** Arguments for PowerShell, which is the one way to a command line that every Windows has. */
export function cimArguments(pids: readonly number[]): string[] {
  const filter = pids.map(pid => `ProcessId=${pid}`).join(' OR ');
  const started = '@{n="Started";e={([DateTimeOffset]$_.CreationDate).ToUnixTimeMilliseconds()}}';
  const script = `@(Get-CimInstance Win32_Process -Filter '${filter}' | Select-Object ProcessId,ParentProcessId,Name,CommandLine,${started}) | ConvertTo-Json -Compress`;
  return ['-NoProfile', '-NonInteractive', '-Command', script];
}

/** Reads it: an object where there is one process, an array where there are more. */
export function parseCim(text: string): ProcessFacts[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return [];
  }
  return [parsed].flat().flatMap(item => {
    const { ProcessId, ParentProcessId, Name, CommandLine, Started } = (item ?? {}) as Record<string, unknown>;
    if (typeof ProcessId !== 'number' || typeof Started !== 'number') return [];
    const command = typeof CommandLine === 'string' ? CommandLine : String(Name ?? '');
    const ppid = typeof ParentProcessId === 'number' ? ParentProcessId : 0;
    const shown = formatCommand([command]);
    return [
      { pid: ProcessId, command: shown, argv: [command], uid: 0, user: '', ppid, orphaned: false, startedAt: Started },
    ];
  });
}
