-- A ledger as schema version 1 has it, with one steady and one minting connection, and a claim
-- from before a reboot.
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE meta (
   name TEXT PRIMARY KEY,
   value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE records (
   tenant TEXT NOT NULL,
   connection TEXT NOT NULL,
   name TEXT NOT NULL,
   version INTEGER NOT NULL,
   wake_at INTEGER,
   expires_at INTEGER,
   lost INTEGER,
   schema INTEGER NOT NULL,
   document TEXT NOT NULL,
   PRIMARY KEY (tenant, connection)
) STRICT;
CREATE INDEX records_by_wake_at ON records (wake_at) WHERE wake_at IS NOT NULL;
CREATE TABLE claims (
   tenant TEXT NOT NULL,
   connection TEXT NOT NULL,
   holder TEXT,
   fence INTEGER NOT NULL,
   boot_id TEXT,
   until_boot_ms INTEGER,
   PRIMARY KEY (tenant, connection)
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
   seq INTEGER PRIMARY KEY AUTOINCREMENT,
   tenant TEXT NOT NULL,
   connection TEXT NOT NULL,
   at TEXT NOT NULL,
   event TEXT NOT NULL,
   words TEXT NOT NULL,
   FOREIGN KEY (tenant, connection) REFERENCES records (tenant, connection)
) STRICT;
CREATE INDEX events_by_connection ON events (tenant, connection, seq);
INSERT INTO meta VALUES ('ledger_id', '00112233445566778899aabbccddeeff');
INSERT INTO records VALUES ('acme.eu.auth0.com', 'con_0123456789abcdef', 'initech-okta', 41,
  1795323600000, 1795233585000, 1, 1, '{"schema":1,"key":{"tenant":"acme.eu.auth0.com","connection":"con_0123456789abcdef"},"name":"initech-okta","provider":"acme","generation":7,"generation_seen":7,"phase":"steady","current":{"token":{"id":"tok_2","created_at":"2026-10-22T04:00:00Z","valid_until":"2026-11-21T03:59:45Z","last_used_at":"2026-11-21T00:00:00Z","scopes":["get:users","post:users"]},"delivered_at":"2026-10-22T04:03:00Z","probe":{"first_sent":"2026-11-22T04:02:00Z","sent":"2026-11-22T04:02:05.500Z","arrives_by":"2026-11-22T04:02:35.500Z","mark":{"seen":"2026-11-22T04:10:00Z","says":"2026-11-22T04:02:05.500Z"}},"began":"2026-10-22T03:59:59Z","retire":{"overlap":{"secs":86400,"nanos":0},"after_use":true,"when_idle":{"secs":7200,"nanos":0},"at_latest":{"secs":259200,"nanos":0}}},"older":[{"token":{"id":"tok_1","created_at":"2026-09-22T04:00:00Z","scopes":["get:users","post:users"]},"cause":"superseded","retire":{"overlap":{"secs":60,"nanos":0},"after_use":false},"superseded_at":"2026-10-22T04:03:00Z","announced_at":null,"not_found":false},{"token":{"id":"tok_0","created_at":"2026-08-22T04:00:00Z","valid_until":"2026-09-21T04:00:00Z","scopes":["get:users","post:users"]},"cause":"orphan","retire":{"overlap":{"secs":60,"nanos":0},"after_use":false},"superseded_at":null,"announced_at":"2026-11-22T04:00:00Z","not_found":true}],"intents":[{"at":"2026-11-22T04:00:00.123Z","listed_at":"2026-11-22T04:00:00Z","answered_by":"2026-11-22T04:01:30Z","known":["tok_1","tok_2"],"scopes":["get:users","post:users"],"life":{"secs":2591985,"nanos":0},"because":"less than a third of its life is left","asked_at":null}],"deleted":{"tok_9":"2026-11-01T00:00:00Z"},"sinks":{"file:/run/scimitar/initech.token":{"place":{"key":"file:/run/scimitar/initech.token","sink":"disk","location":"/run/scimitar/initech.token","delivery":{"sink":"disk","file":"initech.token","format":"raw","mode":"0600"}},"readable":true,"lingers":{"secs":0,"nanos":0},"holds":"tok_2","version":"sha256:ab","since":"2026-10-22T04:03:00Z","begun":null,"drift":null,"trouble":null,"removed":false},"file:/run/scimitar/old.token":{"place":{"key":"file:/run/scimitar/old.token","sink":"disk","location":"/run/scimitar/old.token","delivery":{"sink":"disk","file":"old.token","format":"raw","mode":"0600"}},"readable":true,"lingers":{"secs":0,"nanos":0},"holds":null,"version":null,"since":null,"begun":null,"drift":{"what":"it holds a token that is not listed","since":"2026-11-20T00:00:00Z"},"trouble":{"count":2,"since":"2026-11-22T03:00:00Z","fault":{"operation":"list the tokens of con_1","class":"terminal","code":"forbidden","detail":"answered 403: grant delete:scim_token"},"at":"2026-11-22T03:30:00Z","retry_at":"2026-11-22T04:30:00Z"},"removed":true}},"condemned":["tok_1"],"strangers":{"tok_x":{"first_seen":"2026-11-19T00:00:00Z","probably_ours":true}},"missing":{"first":"2026-11-22T03:59:00Z","last":"2026-11-22T03:59:06Z","refused":false},"slot_denied":true,"troubles":{"look":{"count":2,"since":"2026-11-22T03:00:00Z","fault":{"operation":"list the tokens of con_1","class":"transient","code":"unavailable","detail":"answered 503","retry_after":{"secs":30,"nanos":0}},"at":"2026-11-22T03:30:00Z","retry_at":"2026-11-22T04:30:00Z"},"mint":{"count":2,"since":"2026-11-22T03:00:00Z","fault":{"operation":"list the tokens of con_1","class":"terminal","code":"forbidden","detail":"answered 403: grant delete:scim_token"},"at":"2026-11-22T03:30:00Z","retry_at":"2026-11-22T04:30:00Z"},"revoke":{"count":2,"since":"2026-11-22T03:00:00Z","fault":{"operation":"list the tokens of con_1","class":"transient","code":"unavailable","detail":"answered 503","retry_after":{"secs":30,"nanos":0}},"at":"2026-11-22T03:30:00Z","retry_at":"2026-11-22T04:30:00Z"}},"survey":{"at":"2026-11-22T03:59:06Z","skew_ms":-1500,"tokens":[{"id":"tok_1","created_at":"2026-09-22T04:00:00Z","scopes":["get:users","post:users"]}]},"refusal":{"reason":"previous_in_use","words":"tok_1 is protected until its overlap ends","since":"2026-11-22T03:59:06Z","until":"2026-11-22T04:59:06Z"},"warnings":["rotate_before was held to half of the life that was granted"],"last_rotation":{"began":"2026-10-22T03:59:59Z","finished":"2026-10-22T04:03:00Z","id":"tok_2"},"life_error":1,"tally":{"succeeded":6,"failed":1,"refused":0,"orphans_revoked":1},"wake_at":"2026-11-22T05:00:00Z","next_rotation":"2026-12-12T04:00:00Z"}');
INSERT INTO records VALUES ('globex.eu.auth0.com', 'con_0123456789abcdef', 'initech-okta', 3,
  NULL, NULL, NULL, 1, '{"schema":1,"key":{"tenant":"globex.eu.auth0.com","connection":"con_0123456789abcdef"},"name":"initech-okta","provider":"acme","generation":7,"generation_seen":7,"phase":{"minting":{"at":"2026-11-22T04:00:00.123Z","listed_at":"2026-11-22T04:00:00Z","answered_by":"2026-11-22T04:01:30Z","known":["tok_1","tok_2"],"scopes":["get:users","post:users"],"life":{"secs":2591985,"nanos":0},"because":"less than a third of its life is left","asked_at":null}},"current":null,"older":[],"intents":[],"deleted":{},"sinks":{},"condemned":[],"strangers":{},"missing":null,"slot_denied":false,"troubles":{"look":null,"mint":null,"revoke":null},"survey":null,"refusal":null,"warnings":[],"last_rotation":null,"life_error":null,"tally":{"succeeded":6,"failed":1,"refused":0,"orphans_revoked":1},"wake_at":null,"next_rotation":null}');
INSERT INTO claims VALUES ('acme.eu.auth0.com', 'con_0123456789abcdef',
  'ffeeddccbbaa99887766554433221100', 17, '8c1d2a34-0000-4000-8000-000000000000', 9000000000000);
INSERT INTO events VALUES (1, 'acme.eu.auth0.com', 'con_0123456789abcdef',
  '2026-10-22T04:03:00.250Z', 'delivered', 'every sink has tok_2');
INSERT INTO events VALUES (2, 'acme.eu.auth0.com', 'con_0123456789abcdef',
  '2026-11-22T03:59:06Z', 'refused', 'tok_1 is protected until its overlap ends');
PRAGMA application_id = 1399015789;
PRAGMA user_version = 1;
COMMIT;
