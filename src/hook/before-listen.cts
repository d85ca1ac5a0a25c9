/*
 * Has an HTTP server warm itself up before it listens (warm-up.ts), where `--warm-http` says so and another generation serves
 * meanwhile. Loaded then only.
 */

type Server = import('node:net').Server;
type HttpServer = import('node:http').Server;
type Listen = (...args: unknown[]) => void;

/** What Node calls once it has looked up the host, as a method of the server (since 0.x: a "legacy alias" to this day). */
const listen = Reflect.get(process.getBuiltinModule('net').Server.prototype, '_listen2') as Listen;

const { RELISTEN_DIR, RELISTEN_GENERATION, RELISTEN_WARM_HTTP } = process.env;
const paths = JSON.parse(RELISTEN_WARM_HTTP ?? '[]') as string[];

process
  .getBuiltinModule('diagnostics_channel')
  // Published when listen() was called, before anything is bound (since Node 20.13).
  .subscribe('tracing:net.server.listen:asyncStart', message => {
    const { server, options } = message as { server: Server; options: import('node:net').ListenOptions };
    // On any port that is free it is the program's own, and clients do not know it.
    const hasClients = options.path !== undefined || Number(options.port) > 0;
    if ('headersTimeout' in server && hasClients) putOff(server);
  });

function putOff(server: Server): void {
  const listenWarm = function (this: Server, ...args: unknown[]) {
    Reflect.set(server, '_listen2', listen);
    if (isClusterWorker() || !isServed()) Reflect.apply(listen, server, args);
    else void listenOnceWarm(server as HttpServer, args);
  };
  Reflect.set(server, '_listen2', listenWarm);
}

async function listenOnceWarm(server: HttpServer, args: unknown[]): Promise<void> {
  const call: unknown = Reflect.get(server, '_listeningId');
  for (const complaint of await warm(server)) process.emitWarning(`--warm-http: ${complaint}`, 'RelistenWarning');
  // Else it was closed, or told to listen elsewhere meanwhile.
  if (Reflect.get(server, '_listeningId') === call) Reflect.apply(listen, server, args);
}

async function warm(server: HttpServer): Promise<string[]> {
  try {
    const { warmUp } = await import('./warm-up.ts');
    return await warmUp(server, paths);
  } catch (error) {
    return [String(error)];
  }
}

/** Whether a generation before this one serves: nobody is to wait for a server that is not warm. */
function isServed(): boolean {
  try {
    const { readFileSync } = process.getBuiltinModule('fs');
    const { generation, pid } = JSON.parse(readFileSync(`${RELISTEN_DIR}/ready.json`, 'utf8'));
    return generation < Number(RELISTEN_GENERATION) && process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Its primary sends it clients from the moment in which it has asked for the listener. */
function isClusterWorker(): boolean {
  return process.connected === true && Reflect.get(process.getBuiltinModule('cluster'), 'isWorker') === true;
}
