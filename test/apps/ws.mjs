import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const server = createServer((request, response) => {
  setTimeout(() => response.end(`${process.env.RELISTEN_GENERATION}`), request.url === '/slow' ? 300 : 0);
});
const sockets = new WebSocketServer({ server });
sockets.on('connection', socket => {
  socket.on('message', data => socket.send(`${process.env.RELISTEN_GENERATION} ${data}`));
});
server.listen(process.env.PORT);
