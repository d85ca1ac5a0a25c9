import { once } from 'node:events';
import { request } from 'node:http';

/** Asks a supervisor by its control socket, for the whole answer. */
export async function ask(socketPath: string, method: string, path: string) {
  const asked = request({ socketPath, method, path, agent: false }).end();
  const [response] = await once(asked, 'response');
  let text = '';
  for await (const part of response) text += part;
  return { status: response.statusCode as number, headers: response.headers, text };
}
