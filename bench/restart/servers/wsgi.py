"""What the rows of gunicorn serve. Its version, for the load, is the worker's pid and when it started."""

import os
import time

VERSION = f"{os.getpid()}.{time.time_ns() // 1_000_000}"


def app(environ, start_response):
    body = environ["wsgi.input"]
    while body.read(65536):
        pass
    headers = [("Content-Type", "text/plain"), ("x-generation", VERSION)]
    if environ["PATH_INFO"] == "/slow":
        start_response("200 OK", headers)
        return slow()
    start_response("200 OK", [*headers, ("Content-Length", "6")])
    return [b"hello\n"]


def slow():
    for _ in range(10):
        time.sleep(0.1)
        yield b"hello\n"
