export default function handler(request, response) {
  setTimeout(() => response.send(`${process.env.RELISTEN_GENERATION}`), request.url === '/api/slow' ? 300 : 0);
}
