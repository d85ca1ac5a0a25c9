import { createServer } from 'node:http';
import { Server } from 'socket.io';

const server = createServer((request, response) => {
  setTimeout(() => response.end(`${process.env.RELISTEN_GENERATION}`), request.url === '/slow' ? 300 : 0);
});
new Server(server).on('connection', socket => {
  socket.on('message', (data, answer) => answer(`${process.env.RELISTEN_GENERATION} ${data}`));
});
server.listen(process.env.PORT);
