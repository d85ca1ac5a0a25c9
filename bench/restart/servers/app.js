import express from 'express';

/* What every Node row serves. Its version, for the load, is its pid and when it started. */

const version = `${process.pid}.${Date.now()}`;
const CHUNKS = 10;

export const app = express();
app.use((_request, response, next) => {
  response.setHeader('x-generation', version);
  next();
});
app.get('/', (_request, response) => {
  response.send('hello\n');
});
app.post('/', (request, response) => {
  request.resume().on('end', () => response.send('hello\n'));
});
app.get('/slow', (_request, response) => {
  let left = CHUNKS;
  const timer = setInterval(() => {
    response.write('hello\n');
    if (--left > 0) return;
    clearInterval(timer);
    response.end();
  }, 1000 / CHUNKS);
  response.on('close', () => clearInterval(timer));
});
