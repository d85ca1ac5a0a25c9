/*
 * A server that knows nothing of relisten:
 *
 *   relisten run -- node examples/server.js
 */
import { createServer } from 'node:http';

const port = Number(process.env.PORT ?? 3000);

const server = createServer((request, response) => {
  request.resume();
  request.on('end', () => response.end(`Hello from process ${process.pid}\n`));
});

server.listen(port, () => console.log(`Listening on http://localhost:${port}, process ${process.pid}`));
