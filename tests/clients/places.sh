# Where the clients' jars, packages and programs live: below the target directory, fetched once. Sourced by the scripts here.
# shellcheck shell=bash

clients=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${CARGO_TARGET_DIR:-$clients/../../target}/clients
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
jars=$cache/jars
venv=$cache/venv
go_client=$cache/go-client
node_client=$cache/node

# Fetches the jars that java/pom.xml pins, unless those of this very file are here.
jars_here() {
    cmp -s "$clients/java/pom.xml" "$jars/pom.xml" && return
    rm -rf "$jars"
    mvn -B -q -ntp -f "$clients/java/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime "-DoutputDirectory=$jars"
    cp "$clients/java/pom.xml" "$jars/pom.xml"
}

# Makes the Python environment that requirements.txt pins, unless that of this very file is here.
venv_here() {
    cmp -s "$clients/requirements.txt" "$venv/requirements.txt" && return
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r "$clients/requirements.txt"
    cp "$clients/requirements.txt" "$venv/requirements.txt"
}

# Builds the client in Go, whose modules go/go.sum pins.
go_here() {
    (cd "$clients/go" && GOTOOLCHAIN=local GOFLAGS=-mod=readonly go build -o "$go_client" .)
}

# Puts the client in JavaScript beside the packages that node/package-lock.json pins.
node_here() {
    mkdir -p "$node_client"
    cp "$clients/node/client.js" "$node_client/"
    cmp -s "$clients/node/package-lock.json" "$node_client/package-lock.json" && return
    cp "$clients/node/package.json" "$node_client/"
    cp "$clients/node/package-lock.json" "$node_client/"
    (cd "$node_client" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) ||
        { rm -f "$node_client/package-lock.json"; return 1; }
}
