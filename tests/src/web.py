"""Serves the files of a folder by https, and under some names does what a bad server does.

    web.py PORT CERTIFICATE KEY FOLDER
"""

import functools
import http.server
import os
import ssl
import sys
import time

PIECE = b"x" * (1 << 20)


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def do_GET(self):
        path, _, query = self.path.partition("?")
        bad = {
            "/to": lambda: self.leads(query),
            "/round": lambda: self.leads("/round"),
            "/endless": self.endless,
            "/slow": self.slow,
            "/cut": self.cut,
            "/large": lambda: self.says(65 << 20),
            # A registry that is none.
            "/v2/": lambda: self.answers(200),
            "/v2/bomb/manifests/1": self.endless,
            "/v2/away/manifests/1": lambda: self.leads("http://127.0.0.1:5000/v2/away/manifests/1"),
            "/v2/realm/manifests/1": lambda: self.answers(401),
        }.get(path)
        try:
            bad() if bad else super().do_GET()
        except OSError:
            pass  # The other side has had enough.

    def answers(self, code):
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def leads(self, to):
        self.send_response(302)
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def says(self, length):
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def endless(self):
        self.says(None)
        while True:
            self.wfile.write(PIECE)

    def slow(self):
        self.says(1 << 20)
        while True:
            self.wfile.write(b"x")
            time.sleep(0.1)

    def cut(self):
        whole = open(os.path.join(self.directory, "plugin.wasm"), "rb").read()
        self.says(len(whole))
        self.wfile.write(whole[: len(whole) // 2])


def main():
    port, certificate, key, folder = sys.argv[1:]
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", int(port)), functools.partial(Handler, directory=folder)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


main()
