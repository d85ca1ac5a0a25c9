import { createServer } from 'node:http';
import closeWithGrace from 'close-with-grace';

const server = createServer((request, response) => {
  setTimeout(() => response.end(`${process.env.RELISTEN_GENERATION}`), request.url === '/slow' ? 300 : 0);
});
server.listen(process.env.PORT);
// It ends the process with process.exit() as soon as this has resolved.
closeWithGrace({ delay: 5_000 }, async () => {
  server.close();
});
