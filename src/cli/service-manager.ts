import { sendDatagram } from '../kernel/datagram.ts';
import { isShortage } from '../kernel/errno.ts';
import type { Supervisor } from '../supervise/supervisor.ts';
import type { EventTalk } from './event-talk.ts';

/** A service manager that is busy is told again so soon. */
const TELL_AGAIN_MS = 100;

/**
 * Tells who started relisten as a service how it is (sd_notify(3)): READY=1 with the first generation that is ready,
 * STOPPING=1 when the end begins, and WATCHDOG=1 twice in the time that it may be silent for (sd_watchdog_enabled(3)).
 */
export function tellServiceManager(supervisor: Supervisor, talk: EventTalk): void {
  const { NOTIFY_SOCKET } = process.env;
  if (!NOTIFY_SOCKET) return;
  const manager = new ServiceManager(NOTIFY_SOCKET, why => {
    talk.say({ type: 'notice', text: `Cannot tell the service manager how it is: ${why}` });
  });
  supervisor.on('event', event => {
    if (supervisor.stopping) manager.tellOnce('STOPPING=1');
    else if (event.type === 'state' && event.state === 'ready') manager.tellOnce('READY=1');
  });
  const watchdogMs = watchdogOf(process.env, process.pid);
  if (watchdogMs !== undefined) setInterval(() => manager.tell('WATCHDOG=1'), watchdogMs / 2).unref();
}

/** For how long we may be silent, in ms; undefined where nobody watches this process. */
function watchdogOf({ WATCHDOG_USEC, WATCHDOG_PID }: NodeJS.ProcessEnv, pid: number): number | undefined {
  const watched = WATCHDOG_PID === undefined || WATCHDOG_PID === String(pid);
  return watched && Number(WATCHDOG_USEC) > 0 ? Number(WATCHDOG_USEC) / 1_000 : undefined;
}

/** Never waited for: one that does not listen must not stop relisten. */
class ServiceManager {
  readonly #socket: string;
  readonly #onTrouble: (why: string) => void;
  readonly #told = new Set<string>();
  #troubled = false;

  /** @param onTrouble is told once, why it cannot be told */
  constructor(socket: string, onTrouble: (why: string) => void) {
    this.#socket = socket;
    this.#onTrouble = onTrouble;
  }

  tellOnce(state: string): void {
    if (this.#told.has(state)) return;
    this.#told.add(state);
    this.#tellUntilHeard(state);
  }

  #tellUntilHeard(state: string): void {
    if (!this.tell(state)) setTimeout(() => this.#tellUntilHeard(state), TELL_AGAIN_MS).unref();
  }

  /** @returns false where it is too busy to hear it now */
  tell(state: string): boolean {
    try {
      sendDatagram(this.#socket, state, { wait: false });
    } catch (error) {
      if (isShortage(error)) return false;
      if (!this.#troubled) this.#onTrouble(error instanceof Error ? error.message : String(error));
      this.#troubled = true;
    }
    return true;
  }
}
