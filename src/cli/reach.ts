import { type FSWatcher, watch } from 'node:fs';
import { basename } from 'node:path';
import type { ControlServer } from '../control/server.ts';
import type { Claim } from '../supervise/claim.ts';
import type { Supervisor } from '../supervise/supervisor.ts';

/** By then whoever removes files is done with it: rm -r, or systemd-logind at the end of the last login. */
const QUIET_MS = 250;
/** How often to try where something cannot be made, and to look where no change is told of. */
const LOOK_AGAIN_MS = 1_000;

export interface ReachHost {
  supervisor: Supervisor;
  claim: Claim;
  control: ControlServer;
  say(text: string): void;
}

/**
 * What a supervisor is reached by, from outside and by its own generations: lock, control socket, private directory, state
 * file. Cleaners remove such files while it runs (tmpwatch(8), tmpfiles.d(5)), and the directory of all goes with the last
 * login of its user (pam_systemd(8), XDG_RUNTIME_DIR). It is told of that by inotify(7), looks at each start besides, and
 * makes again what is missing.
 */
export class Reach {
  readonly #host: ReachHost;
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** It was said that something cannot be made. */
  #isInTrouble = false;

  constructor(host: ReachHost) {
    this.#host = host;
  }

  /** Opens the control socket for the first time, and looks after it until the supervisor ends. */
  async begin(): Promise<void> {
    const { supervisor, control, claim } = this.#host;
    if (supervisor.ended) return;
    supervisor.once('end', () => this.#end());
    supervisor.on('event', event => {
      if (event.type === 'state' && event.state === 'starting') void this.#look();
    });
    this.#watch();
    try {
      await control.listen(claim.socket);
    } catch (error) {
      this.#onTrouble(`Cannot be controlled: ${messageOf(error)}`);
    }
  }

  async #look(): Promise<void> {
    const { runtime, name } = this.#host.claim;
    try {
      const wasMissing = await this.#restore();
      if (this.#host.supervisor.ended) return;
      if (wasMissing || !this.#watcher) this.#watch();
      if (wasMissing) this.#host.say(`${missingIn(runtime)}, and ${this.#whatIsSoNow(name)}`);
      this.#isInTrouble = false;
    } catch (error) {
      const why = messageOf(error);
      this.#onTrouble(`${missingIn(runtime)}, and until they can be made again only signals reach it: ${why}`);
    }
  }

  /** All but the control socket is there when this returns. @returns whether anything was missing */
  async #restore(): Promise<boolean> {
    const { supervisor, claim, control } = this.#host;
    const wasIntact = claim.isIntact;
    if (!wasIntact) claim.renew();
    const hadHome = !supervisor.restoreHome();
    const wasHeard = !(await control.listen(claim.socket));
    return !(wasIntact && hadHome && wasHeard);
  }

  #whatIsSoNow(before: string): string {
    const { name } = this.#host.claim;
    return name === before ? 'are there again' : `another relisten is called ${before} by now: this one is ${name}`;
  }

  #onTrouble(text: string): void {
    if (this.#host.supervisor.ended) return;
    if (!this.#isInTrouble) this.#host.say(text);
    this.#isInTrouble = true;
    this.#lookIn(LOOK_AGAIN_MS);
  }

  #watch(): void {
    this.#watcher?.close();
    const { runtime } = this.#host.claim;
    try {
      this.#watcher = watch(runtime, { persistent: false }, (_event, file) => {
        if (file === null || this.#isOurs(file)) this.#lookIn(QUIET_MS);
      });
      this.#watcher.on('error', () => this.#watch());
    } catch {
      // No inotify instance is left for this user, or the directory is gone just now.
      this.#watcher = undefined;
      this.#lookIn(LOOK_AGAIN_MS);
    }
  }

  /** The directory itself is named, too, when it is removed. */
  #isOurs(file: string): boolean {
    const { runtime, name } = this.#host.claim;
    return file === basename(runtime) || file.startsWith(`${name}.`);
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), ms).unref();
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#watcher?.close();
  }
}

function missingIn(runtime: string): string {
  return `relisten's files were missing in ${runtime}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
