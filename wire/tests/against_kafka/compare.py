"""Compares the schemas that `schemas print` wrote with the message definitions inside Kafka's jars.

usage: compare.py SCHEMAS JAR...
"""

import json
import re
import sys
import zipfile

# Where this crate departs from Kafka on purpose: (field, column) -> why.
DEPARTURES = {
    ("InitProducerIdRequest", "versions"): "version 6 is not stable in Kafka 4.4",
    ("InitProducerIdResponse", "versions"): "version 6 is not stable in Kafka 4.4",
    ("InitProducerIdRequest.enable2_pc", "missing"): "version 6 only",
    ("InitProducerIdRequest.keep_prepared_txn", "missing"): "version 6 only",
    ("InitProducerIdResponse.ongoing_txn_producer_id", "missing"): "version 6 only",
    ("InitProducerIdResponse.ongoing_txn_producer_epoch", "missing"): "version 6 only",
    ("AlterClientQuotasResponse.entries", "type"): "the request has another EntryData",
    ("AlterClientQuotasResponse.entries.entity", "type"): "the request has another EntityData",
    ("DescribeQuorumResponse.topics", "type"): "the request has another TopicData",
    ("DescribeQuorumResponse.topics.partitions", "type"): "the request has another PartitionData",
}

COLUMNS = ["type", "versions", "nullable", "tag", "ignorable", "default"]


def snake(name):
    if name == "Match":
        return "_match"  # a word that Rust keeps for itself
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def default_of(field):
    """Kafka's default as this crate's schemas write it, or none where that is what the type implies."""
    value = str(field.get("default", ""))
    nullable = "nullableVersions" in field
    if field["type"] == "records":
        return "none"
    if value in ("", "0", "false", "False"):
        return ('Some("")' if field["type"] == "string" else "Some(Array::EMPTY)") if nullable else "none"
    if value == "null":
        return "none"
    return str(int(value, 0)) if re.fullmatch(r"-?(0x)?[0-9a-fA-F]+", value) else value


def normal_default(text):
    names = {
        "i32::MAX": 2**31 - 1,
        "i64::MAX": 2**63 - 1,
        "OPERATIONS_NOT_ASKED_FOR": -(2**31),
    }
    if text in names:
        return str(names[text])
    return text.replace("_", "") if re.fullmatch(r"-?[0-9_]+", text) else text


def versions_of(text):
    return text if text == "none" or "+" in text or "-" in text else f"{text}-{text}"


def kafka_fields(path, fields, common, parent_from, out):
    for field in fields:
        name = f"{path}.{snake(field['name'])}"
        kind = field["type"].replace("records", "bytes")
        field_from = int(re.match(r"\d+", field["versions"])[0])
        out.append((name, [
            kind,
            versions_of(field["versions"]),
            versions_of(field.get("nullableVersions", "none")),
            str(field.get("tag", "none")),
            str(field.get("ignorable", False)).lower(),
            # What a field that is always there defaults to does not show on the wire.
            default_of(field) if field_from > parent_from or "+" not in field["versions"] or "tag" in field else None,
        ]))
        if field.get("tag") is not None and field["taggedVersions"] != field["versions"]:
            sys.exit(f"{name}: tagged in other versions than it exists in; this crate cannot say that")
        inner = field.get("fields") or common.get(kind.removeprefix("[]"))
        if inner:
            kafka_fields(name, inner, common, max(field_from, parent_from), out)


def main():
    schemas = open(sys.argv[1], encoding="utf-8").read().splitlines()
    definitions = {}
    for jar in map(zipfile.ZipFile, sys.argv[2:]):
        for name in jar.namelist():
            if name.startswith("common/message/") and name.endswith(".json"):
                definitions[name.split("/")[-1].removesuffix(".json")] = jar.read(name).decode()
    messages, ours = [], {}
    for line in schemas:
        name, *columns = line.split("\t")
        if "." not in name:
            messages.append((name, columns))
        ours.setdefault(name.split(".")[0], []).append((name, columns))

    problems = []

    def differ(name, column, theirs, here):
        if (name, column) not in DEPARTURES:
            problems.append(f"{name}: {column} is {here} here and {theirs} in Kafka")

    for message, (key, versions, flexible) in messages:
        definition = json.loads(re.sub(r"^\s*//.*$", "", definitions[message], flags=re.M))
        # What consumers say to each other has no key.
        if definition.get("apiKey", -1) != int(key):
            differ(message, "key", definition.get("apiKey", -1), key)
        if versions_of(definition["validVersions"]) != versions:
            differ(message, "versions", definition["validVersions"], versions)
        theirs_flexible = definition["flexibleVersions"]
        if theirs_flexible != ("none" if flexible == "32767" else f"{flexible}+"):
            differ(message, "flexible", theirs_flexible, flexible)

        common = {struct["name"]: struct["fields"] for struct in definition.get("commonStructs", [])}
        theirs = []
        kafka_fields(message, definition["fields"], common, int(versions.split("-")[0]), theirs)
        here = dict(ours[message][1:])
        their_names = [name for name, _ in theirs if (name, "missing") not in DEPARTURES]
        if their_names != [name for name, _ in ours[message][1:]]:
            problems.append(f"{message}: the fields or their order differ from Kafka's: {their_names}")
        for name, columns in theirs:
            for column, their_value, our_value in zip(COLUMNS, columns, here.get(name, columns)):
                if column == "default":
                    our_value = normal_default(our_value)
                    if their_value is None:
                        continue
                if their_value != our_value:
                    differ(name, column, their_value, our_value)

    print("\n".join(problems) or f"{len(messages)} messages: the schemas agree with Kafka's")
    sys.exit(1 if problems else 0)


main()
