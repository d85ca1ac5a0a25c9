import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { RelistenError } from '../errors.ts';
import type { Proof } from '../prove/proof.ts';
import { type ProveOptions, prove } from '../prove/prove.ts';
import { reach, reachSoon } from '../prove/reach.ts';
import { rehearse } from '../prove/rehearse.ts';
import { proofReport, type Tone } from '../prove/report.ts';
import { shellSubject } from '../prove/shell-subject.ts';
import type { Subject } from '../prove/subject.ts';
import { superviseSubject } from '../prove/supervised-subject.ts';
import { count } from '../prove/verdict.ts';
import { endBy } from './end.ts';
import { ProgressBar } from './progress-bar.ts';
import { classesOf, formOf, type ProveFlags } from './prove-options.ts';
import { onStdout, print, talk } from './report.ts';
import { version } from './version.ts';

/** As `relisten run` waits for its first sign of readiness. */
const LISTEN_WAIT_MS = 30_000;

const INTERRUPTS = ['SIGINT', 'SIGTERM'] as const;

/** Proves what a restart of this command, or of what --url names, costs its clients. */
export async function proveServer(command: string[], flags: ProveFlags): Promise<void> {
  const form = formOf(flags, command);
  // Ten minutes of load are a long way to a folder that is not there.
  if (flags.html !== undefined) await writeTo(flags.html, '');
  const interrupt = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    interrupt.abort();
    process.once('exit', () => endBy(signal)); // once all is said
  };
  for (const signal of INTERRUPTS) process.once(signal, onSignal);
  try {
    const proof =
      form === 'shell' ? await proveOther(flags, interrupt.signal) : await proveOurs(command, flags, interrupt.signal);
    if (flags.html !== undefined) await writePage(flags.html, proof);
    report(proof, flags);
    process.exitCode = proof.verdict.exitCode;
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    talk('relisten: interrupted before the load began');
  } finally {
    for (const signal of INTERRUPTS) process.off(signal, onSignal);
  }
}

/** A server that something else runs. */
function proveOther(flags: ProveFlags, signal: AbortSignal): Promise<Proof> {
  const url = flags.url ?? '';
  return proveSubject(shellSubject(flags.restart ?? '', flags.least), reach(url, flags.remote === true), flags, signal);
}

/** A server that this program runs, again as `relisten run`. */
async function proveOurs(command: string[], flags: ProveFlags, signal: AbortSignal): Promise<Proof> {
  const relisten = [process.execPath, fileURLToPath(new URL('main.js', import.meta.url))];
  const runOptions = flags.runOption ?? [];
  const subject = await superviseSubject({ relisten, command, runOptions, kill: flags.kill === true, signal });
  try {
    const target = flags.url ?? subject.target;
    if (target !== undefined) {
      const reached = reachSoon(target, flags.remote === true, { waitMs: LISTEN_WAIT_MS, signal });
      return await proveSubject(subject, reached, flags, signal);
    }
    throw new RelistenError('Cannot tell where the server listens: say it with --url', {
      code: 'ERR_INVALID_ARG_VALUE',
      op: 'prove',
    });
  } finally {
    await subject.close();
  }
}

async function proveSubject(
  subject: Subject,
  reached: ReturnType<typeof reach>,
  flags: ProveFlags,
  interrupted: AbortSignal,
): Promise<Proof> {
  const { target, asked } = await reached;
  const load: ProveOptions['load'] = {
    target,
    classes: classesOf(flags).map(one => (one.target ? one : { ...one, headers: { Host: asked.authority } })),
    timeoutMs: flags.timeout,
    generation: { header: flags.generationHeader },
  };
  const { classes, leftOut } = await rehearse(load, flags.class === undefined);
  for (const one of leftOut) talk(`relisten: ${one.class} takes no part: ${one.why}`);
  const bar = new ProgressBar();
  const steps = flags.restarts;
  try {
    return await prove({
      subject,
      target: asked.authority,
      load: { ...load, classes },
      leftOut,
      restarts: steps,
      allow: flags.allow,
      warmUpMs: flags.warmUp,
      pauseMs: flags.pause,
      signal: AbortSignal.any([interrupted, AbortSignal.timeout(flags.deadline)]),
      relisten: version(),
      onProgress: ({ restarts, due, failed, closedWhileIdle }) => {
        const counts = `${count(due)} requests, ${count(failed)} failed, ${count(closedWhileIdle)} closed while idle`;
        bar.draw(restarts / steps, `restart ${Math.min(restarts + 1, steps)} of ${steps}: ${counts}`);
      },
    });
  } finally {
    bar.clear();
  }
}

async function writePage(file: string, proof: Proof): Promise<void> {
  const { proofPage } = await import('../prove/html/page.ts');
  await writeTo(file, proofPage(proof));
}

async function writeTo(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (cause) {
    const { code = 'EIO', message } = cause as NodeJS.ErrnoException;
    throw new RelistenError(`Cannot write ${file}: ${message}`, { code, op: 'open', cause });
  }
}

function report(proof: Proof, flags: ProveFlags): void {
  if (flags.json) print(JSON.stringify(proof, undefined, 2));
  else for (const line of proofReport(proof, paint)) print(line);
}

const STYLES: Record<Tone, Parameters<typeof onStdout>[0]> = { good: 'green', bad: 'red', dim: 'dim', strong: 'bold' };

function paint(tone: Tone, text: string): string {
  return onStdout(STYLES[tone], text);
}
