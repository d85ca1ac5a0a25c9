/*
 * Any server under relisten.
 */
import { RELISTEN } from '../../goal.js';
import { Program } from '../program.js';

/**
 * @param {string[]} command @param {import('../rows.js').Place} place
 * @param {{ options?: string[], env?: NodeJS.ProcessEnv }} [more]
 */
export async function underRelisten(command, { folder, port }, { options = [], env = {} } = {}) {
  const run = new Program(
    [process.execPath, RELISTEN, 'run', '--json', '--no-keys', '--name', 'bench', ...options, '--', ...command],
    { ...env, PORT: String(port), XDG_RUNTIME_DIR: folder },
    folder,
  );
  await run.says(/"state":"ready"/);
  return { restart: () => run.kill('SIGHUP') };
}
