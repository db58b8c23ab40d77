-- Every moment is milliseconds since 1970, but for the end of a lease, which is by the database's
-- own clock. Names sort by their bytes. Nothing here is a secret, nor leads to one.
CREATE SCHEMA IF NOT EXISTS scimitar;

-- What the ledger is: `version` counts these steps, and a program that knows `min_reader` steps
-- or more can use it.
CREATE TABLE scimitar.meta (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    ledger_id text NOT NULL,
    version integer NOT NULL,
    min_reader integer NOT NULL,
    -- It was moved there, or is being filled from there: nobody may work with it.
    moved_to text,
    filled_from text,
    shown_writable timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- By this the ends of leases are set and judged.
CREATE FUNCTION scimitar.lease_clock() RETURNS timestamptz
    LANGUAGE sql VOLATILE AS 'SELECT pg_catalog.clock_timestamp()';

-- `attempt` tells whose write made a row what it is, where an answer was lost.
CREATE TABLE scimitar.records (
    tenant text COLLATE "C" NOT NULL,
    connection text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    attempt text NOT NULL,
    wake_at bigint,
    next_rotation bigint,
    expires_at bigint,
    lost bigint,
    schema integer NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (tenant, connection)
) WITH (fillfactor = 70);
CREATE INDEX records_by_wake_at ON scimitar.records (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX records_by_next_rotation ON scimitar.records (next_rotation)
    WHERE next_rotation IS NOT NULL;
CREATE INDEX records_by_lost ON scimitar.records (tenant, lost);
CREATE INDEX records_by_connection ON scimitar.records (connection, tenant);

-- A row outlives the claim, so that fence numbers never go back.
CREATE TABLE scimitar.claims (
    tenant text COLLATE "C" NOT NULL,
    connection text COLLATE "C" NOT NULL,
    holder text,
    attempt text NOT NULL,
    fence bigint NOT NULL,
    ends_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, connection)
) WITH (fillfactor = 70);

-- History: a line a version of the record.
CREATE TABLE scimitar.events (
    tenant text COLLATE "C" NOT NULL,
    connection text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    at text NOT NULL,
    event text NOT NULL,
    words text NOT NULL,
    PRIMARY KEY (tenant, connection, seq)
);

-- The connections that a tenant was last seen to have.
CREATE TABLE scimitar.inventories (
    tenant text COLLATE "C" PRIMARY KEY,
    document text NOT NULL
);

-- What hooks were told of watched tokens.
CREATE TABLE scimitar.watched (
    name text COLLATE "C" PRIMARY KEY,
    document text NOT NULL
);

-- What replicas took of each tenant's request limit: when our share and the whole of it are full again,
-- and until when the tenant asked to be left alone.
CREATE TABLE scimitar.limits (
    tenant text COLLATE "C" PRIMARY KEY,
    ours_full_at timestamptz NOT NULL,
    whole_full_at timestamptz NOT NULL,
    paused_until timestamptz
);

INSERT INTO scimitar.meta (ledger_id, version, min_reader)
    VALUES (replace(gen_random_uuid()::text, '-', ''), 1, 1);
