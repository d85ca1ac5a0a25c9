import express from 'express';

const app = express();
app.get('/slow', (_, response) => setTimeout(() => response.send(`${process.env.RELISTEN_GENERATION}`), 300));
app.use((_, response) => response.send(`${process.env.RELISTEN_GENERATION}`));
app.listen(process.env.PORT);
