const { createServer } = require('node:http') as typeof import('node:http');

const generation: string = process.env.RELISTEN_GENERATION ?? '';
createServer((request, response) => {
  setTimeout(() => response.end(generation), request.url === '/slow' ? 300 : 0);
}).listen(Number(process.env.PORT));
