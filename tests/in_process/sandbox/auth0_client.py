"""Drives a tenant with Auth0's own Python client, unchanged. Prints what it saw as JSON."""

import json
import sys

from auth0.management.client import Auth0
from auth0.management.core.api_error import ApiError

base_url, connection = sys.argv[1], sys.argv[2]
once = {"max_retries": 0}
client = Auth0(base_url=base_url, token=sys.stdin.read().strip())
tokens = client.connections.scim_configuration.tokens
seen = {}

seen["empty"] = [item.token_id for item in tokens.get(connection)]
first = tokens.create(
    connection, scopes=["get:users", "post:users"], token_lifetime=901, request_options=once
)
second = tokens.create(connection, scopes=["get:users"], request_options=once)
seen["first"] = {
    "token_id": first.token_id,
    "value_starts_with_id": first.token.startswith(first.token_id + "."),
    "value_length": len(first.token),
    "scopes": first.scopes,
    "expires": first.valid_until is not None,
}
seen["second_expires"] = second.valid_until is not None
listed = tokens.get(connection)
seen["listed"] = sorted(item.token_id for item in listed)
seen["made"] = sorted([first.token_id, second.token_id])

try:
    tokens.create(connection, request_options=once)
    seen["third"] = None
except ApiError as refused:
    seen["third"] = {"type": type(refused).__name__, "status": refused.status_code,
                     "message": refused.body["message"]}
try:
    tokens.create(connection, scopes=["get:users"], token_lifetime=900, request_options=once)
    seen["short"] = None
except ApiError as refused:
    seen["short"] = {"type": type(refused).__name__, "code": refused.body["errorCode"]}
try:
    tokens.get("con_nobody0000000000")
    seen["unknown"] = None
except ApiError as refused:
    seen["unknown"] = {"type": type(refused).__name__, "code": refused.body["errorCode"]}

tokens.delete(connection, first.token_id)
seen["left"] = [item.token_id for item in tokens.get(connection)] == [second.token_id]

configuration = client.connections.scim_configuration.get(connection)
seen["configuration"] = {"id": configuration.connection_id, "pairs": len(configuration.mapping)}
seen["connections"] = sorted(item.id for item in client.connections.list(take=2))
print(json.dumps(seen))
