import { app } from './app.js';

/* An express server as most are: it knows nothing of restarts, and a signal ends it. */

app.listen(Number(process.env.PORT), '127.0.0.1');
