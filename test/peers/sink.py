"""A destination of notifications: an HTTP/1.1 server that keeps connections and remembers what came."""
import http.server
import json
import socket
import threading

import t8_record


class Sink:
    def __init__(self, port=0):
        self.notices, self.status = [], 204
        self.on_notice = lambda body: None  # before it is answered
        self.lock = threading.Lock()
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                t8_record.notification(body)
                with sink.lock:
                    status = sink.status(self.path) if callable(sink.status) else sink.status
                    sink.notices.append((self.path, self.headers["Content-Type"], json.loads(body), status))
                sink.on_notice(json.loads(body))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", sink.link("/moved"))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def server_bind(self):
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                super().server_bind()

            def handle_error(self, *_):
                pass  # who asked has gone away, or was killed

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def link(self, path="/notify"):
        return f"http://127.0.0.1:{self.port}{path}"

    def taken(self, path=None):
        """Bodies of what was answered 2xx."""
        with self.lock:
            return [body for at, _, body, status in self.notices if 200 <= status < 300 and path in (None, at)]
