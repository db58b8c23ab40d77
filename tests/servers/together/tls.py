"""Services that speak one version of TLS and nothing newer: a version, a certificate, its key, and how many.
Prints the version that it agreed upon with itself and the port of each, and from then on a line for each
connection: the port, and the version that was agreed upon or "refused". What is asked is answered 404."""

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


def alone():
    """The version that it agrees upon with itself: the services can really speak it, or this fails."""
    inside, outside = socket.socketpair()
    for end in (inside, outside):
        end.settimeout(10)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_ciphers("ALL:@SECLEVEL=0")
    # Whatever it speaks: a newer version, if the service had one.
    client.minimum_version = ssl.TLSVersion.TLSv1

    def answer():
        with context.wrap_socket(inside, server_side=True) as stream:
            stream.recv(1)

    answering = threading.Thread(target=answer, daemon=True)
    answering.start()
    try:
        with client.wrap_socket(outside) as stream:
            agreed = stream.version()
            stream.sendall(b"x")
    except OSError as error:
        sys.exit(f"this Python ({ssl.OPENSSL_VERSION}) cannot speak {version}: {error}")
    answering.join()
    return agreed


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
say(alone(), *(listener.getsockname()[1] for listener in listeners))
for listener in listeners:
    threading.Thread(target=listen, args=(listener,), daemon=True).start()
# Until whoever started it is gone.
sys.stdin.read()
