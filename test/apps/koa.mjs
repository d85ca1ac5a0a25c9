import Koa from 'koa';

const app = new Koa();
app.use(async context => {
  if (context.path === '/slow') await new Promise(resolve => setTimeout(resolve, 300));
  context.body = `${process.env.RELISTEN_GENERATION}`;
});
app.listen(process.env.PORT);
