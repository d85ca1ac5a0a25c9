import Fastify from 'fastify';

const app = Fastify();
app.get('*', async request => {
  if (request.url === '/slow') await new Promise(resolve => setTimeout(resolve, 300));
  return `${process.env.RELISTEN_GENERATION}`;
});
await app.listen({ port: process.env.PORT, host: '127.0.0.1' });
// Its own shutdown, as its documentation has it.
process.on('SIGTERM', async () => {
  await app.close();
  process.exit(0);
});
