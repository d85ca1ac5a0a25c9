import { serve } from '@hono/node-server';
import { Hono } from 'hono';

const app = new Hono();
app.get('*', async context => {
  if (context.req.path === '/slow') await new Promise(resolve => setTimeout(resolve, 300));
  return context.text(`${process.env.RELISTEN_GENERATION}`);
});
serve({ fetch: app.fetch, port: Number(process.env.PORT) });
