import { request } from 'node:http';
import { join } from 'node:path';
import { RelistenError } from '../errors.ts';
import { isClaimed } from '../supervise/claim.ts';
import type { RestartOutcome } from '../supervise/events.ts';
import { namesWith } from '../supervise/runtime-dir.ts';
import type { EndStatus } from '../supervise/supervisor.ts';
import { describeOrphan, findOrphans } from './orphans.ts';
import type { Status } from './status.ts';

/** A supervisor that lives, as its clients see it. */
export class ControlClient {
  readonly name: string;
  readonly #path: string;

  constructor(runtime: string, name: string) {
    this.name = name;
    this.#path = join(runtime, `${name}.sock`);
  }

  /** @throws RelistenError `ERR_NO_ANSWER` where nobody answers in time */
  async status(): Promise<Status> {
    return (await this.#ask('GET', '/status', STATUS_MS)).body as Status;
  }

  /** Asks for a restart, and waits until it is over. @throws RelistenError `ERR_STOPPING` */
  async restart(): Promise<RestartOutcome> {
    const { status, body } = await this.#ask('POST', '/restart');
    if (status === 200 || status === 502) return body as RestartOutcome;
    const { error } = body as { error: { code?: string; message: string } };
    throw new RelistenError(error.message, { code: error.code ?? 'ERR_CONTROL', op: 'restart' });
  }

  /** Stops it, and waits until all is over. @param now kills what still drains */
  async stop(now: boolean): Promise<EndStatus> {
    return (await this.#ask('POST', now ? '/stop?now' : '/stop')).body as EndStatus;
  }

  /** @param deadlineMs without one the answer is waited for as long as the connection stands */
  #ask(method: string, path: string, deadlineMs?: number): Promise<{ status: number; body: unknown }> {
    return new Promise((fulfil, reject) => {
      const fail = (cause: unknown) => reject(this.#noAnswer(cause));
      const asked = request({ socketPath: this.#path, method, path, agent: false }, response => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', fail);
        response.on('end', () => {
          try {
            fulfil({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString('utf8')) });
          } catch (error) {
            fail(error);
          }
        });
      });
      if (deadlineMs !== undefined) {
        const deadline = setTimeout(() => asked.destroy(new Error(`no answer in ${deadlineMs / 1000} s`)), deadlineMs);
        asked.on('close', () => clearTimeout(deadline));
      }
      asked.on('error', fail);
      asked.end();
    });
  }

  #noAnswer(cause: unknown): RelistenError {
    const why = cause instanceof Error ? cause.message : String(cause);
    return new RelistenError(`Cannot ask ${this.name}: ${why}`, { code: 'ERR_NO_ANSWER', op: 'connect', cause });
  }
}

const STATUS_MS = 5_000;

/** The supervisors that live in a runtime directory, by name. */
export function findSupervisors(runtime: string): ControlClient[] {
  return namesWith('.sock', runtime)
    .filter(name => isClaimed(runtime, name))
    .sort()
    .map(name => new ControlClient(runtime, name));
}

/** Says so, and where it was looked: another user, or another XDG_RUNTIME_DIR, has another directory. */
export function nobodyIn(runtime: string): string {
  return `No relisten runs here (in ${runtime})`;
}

/**
 * The supervisor that a command means; the only one where none is named.
 *
 * @throws RelistenError that lists the names there are
 */
export function chooseSupervisor(runtime: string, name: string | undefined): ControlClient {
  const found = findSupervisors(runtime);
  const names = found.map(client => client.name).join(', ');
  const one = name === undefined ? (found.length === 1 ? found[0] : undefined) : found.find(it => it.name === name);
  if (one) return one;
  const problem =
    found.length === 0
      ? name === undefined
        ? nobodyIn(runtime)
        : `No relisten is called ${name}. ${nobodyIn(runtime)}`
      : name === undefined
        ? `More than one relisten runs here, name one: ${names}`
        : `No relisten is called ${name}, but there is ${names}`;
  const left = findOrphans(runtime).filter(
    orphan => name === orphan.name || (name === undefined && found.length === 0),
  );
  const message = [problem, ...left.map(describeOrphan)].join('. ');
  throw new RelistenError(message, { code: 'ERR_NO_SUPERVISOR', op: 'find' });
}
