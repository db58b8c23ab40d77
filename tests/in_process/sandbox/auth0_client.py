"""Drives a tenant with Auth0's own Python client, unchanged. Prints what it saw as JSON."""

import json
import sys

from auth0.management import ManagementClient
from auth0.management.core.api_error import ApiError

domain, connection = sys.argv[1:]
client = ManagementClient(domain=domain, client_id="rotator", client_secret="s3cret")
connections = client.connections
scim = connections.scim_configuration
tokens = scim.tokens
# By itself the client sends a create again after 409.
once = {"max_retries": 0}
seen = {}


def refusal(call, *arguments, **more):
    """The name of the error, its status and what Auth0 calls it; None: there was no error."""
    try:
        call(*arguments, request_options=once, **more)
        return None
    except ApiError as refused:
        body = refused.body
        said = {"type": type(refused).__name__, "status": refused.status_code,
                "message": body["message"]}
        return said | ({"code": body["errorCode"]} if "errorCode" in body else {})


def pairs(mapping):
    return [{"auth0": item.auth_0, "scim": item.scim} for item in mapping]


def ids(items):
    return sorted(item.token_id for item in items)


seen["empty"] = ids(tokens.get(connection))
first = tokens.create(connection, scopes=["get:users", "post:users"], token_lifetime=901)
second = tokens.create(connection, scopes=["get:users"])
listed = tokens.get(connection)
seen["first"] = {
    "value_starts_with_id": first.token.startswith(first.token_id + "."),
    "value_length": len(first.token),
    "scopes": first.scopes,
    "expires": first.valid_until is not None,
    "second_expires": second.valid_until is not None,
    "both_listed": ids(listed) == ids([first, second]),
    "listed_as_made": sorted(
        (item.token_id, item.scopes, item.created_at, item.valid_until) for item in listed
    ) == sorted((made.token_id, made.scopes, made.created_at, made.valid_until)
                for made in (first, second)),
    "used": [item.last_used_at for item in listed if item.last_used_at is not None],
}
seen["third"] = refusal(tokens.create, connection)
seen["short"] = refusal(tokens.create, connection, scopes=["get:users"], token_lifetime=900)
seen["unknown"] = refusal(tokens.get, "con_nobody0000000000")
tokens.delete(connection, first.token_id)
seen["left"] = ids(tokens.get(connection)) == [second.token_id]

configuration = scim.get(connection)
standard = scim.get_default_mapping(connection)
seen["configuration"] = {
    "id": configuration.connection_id,
    "strategy": configuration.strategy,
    "is_default": pairs(configuration.mapping) == pairs(standard.mapping),
    "pairs": len(standard.mapping),
}
mapping = [{"auth0": "preferred_username", "scim": "userName"},
           {"auth0": "blocked", "scim": "active"}]
updated = scim.update(connection, user_id_attribute="id", mapping=mapping)
read = scim.get(connection)
seen["updated"] = {"attribute": updated.user_id_attribute, "mapping": pairs(updated.mapping),
                   "stays": pairs(read.mapping) == pairs(updated.mapping)}
seen["exists"] = refusal(scim.create, connection)
scim.delete(connection)
seen["gone"] = refusal(scim.get, connection)
created = scim.create(connection, request={"user_id_attribute": "externalId", "mapping": mapping})
# The tokens went with the configuration before.
seen["created"] = {"attribute": created.user_id_attribute, "mapping": pairs(created.mapping),
                   "tokens": ids(tokens.get(connection))}
scim.delete(connection)
seen["by_default"] = len(scim.create(connection).mapping)

page = scim.list(take=2)
seen["page"] = {"length": len(page.items), "has_next": page.has_next}
seen["all"] = [item.connection_id for item in scim.list(take=2)]
seen["connections"] = [item.id for item in connections.list(take=2)]
one = connections.get(connection)
seen["connection"] = {"id": one.id, "name": one.name, "strategy": one.strategy}
print(json.dumps(seen))
