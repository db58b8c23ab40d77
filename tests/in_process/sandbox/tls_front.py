"""Puts TLS in front of a service on this machine, by a certificate of its own: Auth0's clients speak
nothing else to a domain. Prints its port once it listens; what trusts it is in ca.pem in the folder."""

import datetime
import ipaddress
import pathlib
import socket
import ssl
import sys
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"


def certificate(name, key, issuer, issuer_key, extensions):
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number(),
                                      now - day, now + day)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, hashes.SHA256())


def pem(one):
    return one.public_bytes(serialization.Encoding.PEM)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def identity(folder):
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = name("CA of one test")
    ca_only = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    ca = certificate(ca_name, ca_key, ca_name, ca_key, [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (ca_only, True),
        (x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False),
    ])
    own = certificate(name(HOST), key, ca_name, ca_key, [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False),
    ])
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                serialization.NoEncryption())
    (folder / "ca.pem").write_bytes(pem(ca))
    (folder / "own.pem").write_bytes(pem(own) + private)


def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # The other end is gone, and so is this connection.
        source.close()
        target.close()


def serve(plain, context, behind):
    with context.wrap_socket(plain, server_side=True) as front:
        with socket.create_connection(behind) as back:
            there = threading.Thread(target=pump, args=(front, back))
            there.start()
            pump(back, front)
            there.join()


folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
identity(folder)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder / "own.pem")
listener = socket.create_server((HOST, 0))
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection, context, (HOST, port)), daemon=True).start()
