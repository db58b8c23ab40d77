//! What each command's help ends with: lines to copy.

/// Of the program as a whole.
pub(super) const TOP: &str = "\
Without a command, --rotate-now or --once it runs the daemon (as `scimitar run`).

Examples:
  scimitar check --online                  validate the configuration, test every permission
  scimitar rotate initech-okta             rotate one connection now
  scimitar status                          what needs attention comes first
  scimitar explain initech-okta            why a connection waits, and until when

Exit status: 0 done, or nothing was due; 1 a connection failed; 2 bad usage or configuration, nothing \
was done; 3 a connection is refused until an operator decides; 130, 143 interrupted, parked safely.";

pub(super) const RUN: &str = "\
Examples:
  scimitar run
  scimitar run --config ./scimitar.toml -v";

pub(super) const ROTATE: &str = "\
Examples:
  scimitar rotate initech-okta             one connection
  scimitar rotate 'acme-*' --dry-run       what would be done for several
  scimitar rotate --all --batch 20         all of them, 20 at a time
  scimitar rotate initech-okta --wait      and stay until the previous token is revoked
  scimitar rotate initech-okta --compromised";

pub(super) const ONCE: &str = "\
Examples:
  scimitar once                            from a timer or a CronJob
  scimitar once initech-okta 'acme-*'
  scimitar once --dry-run";

pub(super) const CHECK: &str = "\
Examples:
  scimitar check                           before a reload
  scimitar check --online                  before the first rotation";

pub(super) const PLAN: &str = "\
Examples:
  scimitar plan initech-okta
  scimitar plan 'acme-*' --until 2w";

pub(super) const STATUS: &str = "\
Examples:
  scimitar status                          what needs attention comes first
  scimitar status 'acme-*' --watch         follow what changes
  scimitar status --where 'expiring<7d'
  scimitar status --exit-code              for scripts: 1 failed, 3 refused";

pub(super) const EXPLAIN: &str = "\
Examples:
  scimitar explain initech-okta
  scimitar explain --where attention";

pub(super) const HISTORY: &str = "\
Examples:
  scimitar history initech-okta
  scimitar history 'acme-*' --output json";

pub(super) const TOKENS: &str = "\
Examples:
  scimitar tokens
  scimitar tokens --where unmanaged";

pub(super) const DISCOVER: &str = "\
Examples:
  scimitar discover
  scimitar discover acme --accept";

pub(super) const ADOPT: &str = "\
Examples:
  scimitar adopt initech-okta --token-id tok_0123456789abcdef
  scimitar adopt initech-okta --token-id tok_0123456789abcdef --retire
  scimitar adopt --all-from terraform.tfstate";

pub(super) const IMPORT: &str = "\
Examples:
  scimitar import terraform terraform.tfstate > connections.d/imported.toml";

pub(super) const STATE: &str = "\
Examples:
  scimitar state copy scimitar.toml postgres://scimitar@db.example.com/scimitar
  scimitar state reopen scimitar.toml";

pub(super) const STATE_COPY: &str = "\
Examples:
  scimitar state copy scimitar.toml postgres://scimitar@db.example.com/scimitar
  scimitar state copy sqlite:///var/lib/scimitar/ledger.db sqlite:///srv/scimitar/ledger.db";

pub(super) const STATE_REOPEN: &str = "\
Examples:
  scimitar state reopen scimitar.toml";

pub(super) const REVOKE: &str = "\
Examples:
  scimitar revoke initech-okta --token-id tok_0123456789abcdef";

pub(super) const PAUSE: &str = "\
Examples:
  scimitar pause initech-okta --until 8h --reason 'maintenance at Initech'
  scimitar pause --all --until 2027-01-04 --reason 'change freeze'";

pub(super) const RESUME: &str = "\
Examples:
  scimitar resume initech-okta
  scimitar resume --all";

pub(super) const HANDOFF: &str = "\
Examples:
  scimitar handoff initech-okta --done";

pub(super) const PERMISSIONS: &str = "\
Examples:
  scimitar permissions
  scimitar permissions --output json";

pub(super) const HEALTHCHECK: &str = "\
Examples:
  scimitar healthcheck
  scimitar healthcheck --config ./scimitar.toml";

pub(super) const AUDIT: &str = "\
Examples:
  scimitar audit verify /var/log/scimitar/audit.jsonl";

pub(super) const VERIFY: &str = "\
Examples:
  scimitar audit verify /var/log/scimitar/audit.jsonl
  scimitar audit verify audit.jsonl.1 audit.jsonl --head HASH";

pub(super) const SANDBOX: &str = "\
Examples:
  scimitar sandbox
  scimitar sandbox --listen 127.0.0.1:4400 --data-dir ./tenant --rate 16 --burst 50";

pub(super) const COMPLETIONS: &str = "\
Examples:
  scimitar completions bash > /etc/bash_completion.d/scimitar
  scimitar completions zsh > \"${fpath[1]}/_scimitar\"
  scimitar completions fish > ~/.config/fish/completions/scimitar.fish";

pub(super) const SCHEMA: &str = "\
Examples:
  scimitar schema > scimitar.schema.json";

pub(super) const MAN: &str = "\
Examples:
  scimitar man > scimitar.1
  scimitar man | man -l -";
