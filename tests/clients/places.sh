# Where the clients' jars and Python packages live: below the target directory, fetched once. Sourced by the scripts here.
# shellcheck shell=bash

clients=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${CARGO_TARGET_DIR:-$clients/../../target}/clients
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
jars=$cache/jars
venv=$cache/venv

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
