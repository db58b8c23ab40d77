// Drives a tenant with Auth0's own client for Node, unchanged. Prints what it saw as JSON: the same that
// auth0_client.py beside this file prints.

import { ManagementClient } from "auth0";

const [domain, connection] = process.argv.slice(2);
const client = new ManagementClient({ domain, clientId: "rotator", clientSecret: "s3cret" });
const { connections } = client;
const { scimConfiguration: scim } = connections;
const { tokens } = scim;
const once = { maxRetries: 0 };
const seen = {};

// The name of the error, its status and what Auth0 calls it; null: there was no error.
async function refusal(call) {
    try {
        await call();
        return null;
    } catch (error) {
        const { statusCode: status, body } = error;
        return { type: error.constructor.name, status, message: body.message, code: body.errorCode };
    }
}

const ids = (items) => items.map((item) => item.token_id).sort();
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const parts = (items) =>
    items.map((item) => [item.token_id, item.scopes, item.created_at, item.valid_until]).sort();

seen.empty = ids(await tokens.get(connection));
const first = await tokens.create(connection, {
    scopes: ["get:users", "post:users"],
    token_lifetime: 901,
});
const second = await tokens.create(connection, { scopes: ["get:users"] });
const listed = await tokens.get(connection);
seen.first = {
    value_starts_with_id: first.token.startsWith(`${first.token_id}.`),
    value_length: first.token.length,
    scopes: first.scopes,
    expires: first.valid_until !== undefined,
    second_expires: second.valid_until !== undefined,
    both_listed: same(ids(listed), ids([first, second])),
    listed_as_made: same(parts(listed), parts([first, second])),
    used: listed.map((item) => item.last_used_at).filter((at) => at !== undefined),
};
seen.third = await refusal(() => tokens.create(connection, {}, once));
const short = { scopes: ["get:users"], token_lifetime: 900 };
seen.short = await refusal(() => tokens.create(connection, short, once));
seen.unknown = await refusal(() => tokens.get("con_nobody0000000000", once));
await tokens.delete(connection, first.token_id);
seen.left = same(ids(await tokens.get(connection)), [second.token_id]);

const configuration = await scim.get(connection);
const standard = await scim.getDefaultMapping(connection);
seen.configuration = {
    id: configuration.connection_id,
    strategy: configuration.strategy,
    is_default: same(configuration.mapping, standard.mapping),
    pairs: standard.mapping.length,
};
const mapping = [
    { auth0: "preferred_username", scim: "userName" },
    { auth0: "blocked", scim: "active" },
];
const updated = await scim.update(connection, { user_id_attribute: "id", mapping });
const read = await scim.get(connection);
seen.updated = {
    attribute: updated.user_id_attribute,
    mapping: updated.mapping,
    stays: same(read.mapping, updated.mapping),
};
seen.exists = await refusal(() => scim.create(connection, undefined, once));
await scim.delete(connection);
seen.gone = await refusal(() => scim.get(connection, once));
const created = await scim.create(connection, { user_id_attribute: "externalId", mapping });
// The tokens went with the configuration before.
seen.created = {
    attribute: created.user_id_attribute,
    mapping: created.mapping,
    tokens: ids(await tokens.get(connection)),
};
await scim.delete(connection);
seen.by_default = (await scim.create(connection)).mapping.length;

async function all(pages, member) {
    const found = [];
    for await (const one of pages) found.push(one[member]);
    return found;
}
const page = await scim.list({ take: 2 });
seen.page = { length: page.data.length, has_next: page.hasNextPage() };
seen.all = await all(await scim.list({ take: 2 }), "connection_id");
seen.connections = await all(await connections.list({ take: 2 }), "id");
const one = await connections.get(connection);
seen.connection = { id: one.id, name: one.name, strategy: one.strategy };
process.stdout.write(JSON.stringify(seen));
