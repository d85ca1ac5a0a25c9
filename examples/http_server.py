"""The server of Python's own documentation (http.server), with a thread for each connection.

socketserver does not set SO_REUSEADDR: stopped after it had clients, it cannot be started again for a minute.

    relisten run -- python3 examples/http_server.py
"""

import http.server
import os
import socketserver

PORT = int(os.environ.get("PORT", "8000"))

Handler = http.server.SimpleHTTPRequestHandler

with socketserver.ThreadingTCPServer(("", PORT), Handler) as httpd:
    print("serving at port", PORT, flush=True)
    httpd.serve_forever()
