# Every command of the project, in one place. What CI runs is in .ci/run, which needs no `just`;
# the recipes here call the same.

# lists the recipes
default:
    @just --list

# all that CI runs
ci:
    .ci/run

# formats the sources
fmt:
    cargo fmt --all

# lints; warnings count
lint:
    .ci/run lint

# holds the dependencies to deny.toml
bans:
    .ci/run bans

# the README's first command, four times on a fresh data folder
first:
    .ci/run first

# all tests
test:
    .ci/run test

# the binary that is shipped: target/dist/scimitar
dist:
    cargo build --locked --profile dist --all-features

# the container image, of a static binary
image:
    container/build.sh

# a release: the static program and its packages, made twice and compared, its bill of materials and licences
release:
    release/build.sh

# feeds hostile input to everything that reads input from outside, a minute each
fuzz *ARGUMENTS:
    fuzz/run {{ ARGUMENTS }}

# forgets what the tour left
fresh:
    rm -rf example-data
