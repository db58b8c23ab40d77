#!/usr/bin/env python3
"""The peer of the rotation bench: what a user would write instead of installing a daemon.

On the vendor's own client library (auth0-python). For each connection: list the tokens, create
one, ask the SCIM endpoint with it, write it to a file, delete the older ones; THREADS at a time.
No crash safety, no overlap, no look before the delete, no pacing, no metrics.

Usage: peer.py TENANT_URL FOLDER CONNECTIONS [VAULT_URL VAULT_TOKEN]
With a Vault, the token goes into its KV version 2 (hvac) instead of a file.
Prints one JSON line about its loop alone; the library's import and the log-in are not in it.
"""

import json
import os
import resource
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from auth0.management.client import Auth0

THREADS = 8

tenant, folder, connections = sys.argv[1].rstrip("/"), sys.argv[2], int(sys.argv[3])
vault = None
if len(sys.argv) > 4:
    import hvac

    vault = hvac.Client(url=sys.argv[4], token=sys.argv[5])
os.makedirs(folder, mode=0o700, exist_ok=True)


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    return json.load(urllib.request.urlopen(request))


login = {
    "grant_type": "client_credentials",
    "client_id": "bench",
    "client_secret": "rehearsal",
    "audience": "https://bench.eu.auth0.com/api/v2/",
}
access = post(tenant + "/oauth/token", login)["access_token"]
tokens = Auth0(base_url=tenant + "/api/v2", token=access).connections.scim_configuration.tokens


def rotate(number):
    connection = f"con_{number:016}"
    older = [token.token_id for token in tokens.get(connection)]
    new = tokens.create(connection, scopes=["get:users", "post:users"], token_lifetime=2592000)
    url = f"{tenant}/scim/v2/connections/{connection}/Users?count=1"
    headers = {"authorization": "Bearer " + new.token}
    urllib.request.urlopen(urllib.request.Request(url, headers=headers)).read()
    deliver(number, new)
    for token_id in older:
        tokens.delete(connection, token_id)


def deliver(number, new):
    if vault:
        secret = {"token": new.token, "token_id": new.token_id}
        kv = vault.secrets.kv.v2
        kv.create_or_update_secret(path=f"peer/{number:06}", secret=secret, mount_point="secret")
        return
    path = os.path.join(folder, f"{number:06}.token")
    with open(path + ".new", "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(new.token)
    os.rename(path + ".new", path)


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


began, cpu_began = time.monotonic(), cpu()
with ThreadPoolExecutor(THREADS) as executor:
    for _ in executor.map(rotate, range(1, connections + 1)):
        pass
seconds, cpu_seconds = time.monotonic() - began, cpu() - cpu_began
print(json.dumps({"seconds": seconds, "cpu_ms_per_rotation": cpu_seconds * 1000 / connections}))
