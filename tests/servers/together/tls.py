"""Services that speak one version of TLS and nothing newer: a version, a certificate, its key, and how many.
Prints the port of each, and from then on a line for each connection: the port, and the version that
was agreed upon or "refused". What is asked is answered 404."""

import socket
import ssl
import sys
import threading

version, certificate, key, count = sys.argv[1:]

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
# Older versions need what the library's own level of security leaves out.
context.set_ciphers("ALL:@SECLEVEL=0")
context.minimum_version = ssl.TLSVersion[version] if version == "TLSv1_2" else ssl.TLSVersion.TLSv1
context.maximum_version = ssl.TLSVersion[version]
context.load_cert_chain(certificate, key)

lock = threading.Lock()


def say(*words):
    with lock:
        print(*words, flush=True)


def serve(port, plain):
    plain.settimeout(10)
    try:
        with context.wrap_socket(plain, server_side=True) as stream:
            stream.recv(65536)
            stream.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            say(port, stream.version())
    except ssl.SSLError as error:
        say(port, "refused", error.reason)
    except OSError as error:
        say(port, "lost", error)


def listen(listener):
    port = listener.getsockname()[1]
    while True:
        plain, _ = listener.accept()
        threading.Thread(target=serve, args=(port, plain), daemon=True).start()


listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(count))]
say(*(listener.getsockname()[1] for listener in listeners))
for listener in listeners:
    threading.Thread(target=listen, args=(listener,), daemon=True).start()
# Until whoever started it is gone.
sys.stdin.read()
