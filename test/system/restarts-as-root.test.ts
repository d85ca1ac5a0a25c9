import { testRestarts } from './restarts.ts';
import { SERVERS } from './servers.ts';

for (const server of SERVERS) testRestarts(server, 'root', {});
