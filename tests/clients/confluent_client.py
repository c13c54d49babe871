#!/usr/bin/env python3
"""confluent-kafka, the newest librdkafka from Python, against a broker. usage: confluent_client.py HOST:PORT"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import confluent_kafka as kafka
from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from records import BIG, CODECS, RUN, check, finish, numbered, varied

BROKER = sys.argv[1]
WAIT = 30


def produce(topic, records, **config):
    offsets = []
    producer = kafka.Producer(
        {"bootstrap.servers": BROKER, "message.timeout.ms": 25000}
        | {name.replace("_", "."): value for name, value in config.items()}
    )

    def delivered(error, message):
        offsets.append(error.name() if error else message.offset())

    for key, value, headers, timestamp in records:
        producer.produce(
            topic, value, key, partition=0, on_delivery=delivered, timestamp=timestamp, headers=headers
        )
    if producer.flush(WAIT):
        raise TimeoutError(f"{topic}: not all delivered")
    return offsets


def assigned(topic, offset):
    # librdkafka wants a group id for its assign call; no group is joined.
    consumer = kafka.Consumer(
        {
            "bootstrap.servers": BROKER,
            "group.id": "not-a-group",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "check.crcs": True,
        }
    )
    consumer.assign([kafka.TopicPartition(topic, 0, offset)])
    return consumer


def consume(topic, offset=kafka.OFFSET_BEGINNING):
    consumer = assigned(topic, offset)
    records = []
    while True:
        message = consumer.poll(WAIT)
        if message is None:
            raise TimeoutError(f"{topic}: no end after {len(records)} records")
        if message.error():
            consumer.close()
            if message.error().code() == kafka.KafkaError._PARTITION_EOF:
                return records
            raise kafka.KafkaException(message.error())
        kind, timestamp = message.timestamp()
        assert kind == kafka.TIMESTAMP_CREATE_TIME
        records.append((message.offset(), message.key(), message.value(), message.headers() or [], timestamp))


class Member:
    """A consumer in a group that knows what it has and what it has read, and commits at once what it read."""

    def __init__(self, topic, group, **config):
        self.has, self.read, self.statistics = set(), [], []
        self.consumer = kafka.Consumer(
            {
                "bootstrap.servers": BROKER,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 300,
                "statistics.interval.ms": 500,
                "stats_cb": lambda text: self.statistics.append(json.loads(text)),
            }
            | {name.replace("_", "."): value for name, value in config.items()}
        )
        self.consumer.subscribe([topic], on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.revoked)

    def assigned(self, consumer, partitions):
        self.has |= {partition.partition for partition in partitions}

    def revoked(self, consumer, partitions):
        self.has -= {partition.partition for partition in partitions}

    def poll(self):
        message = self.consumer.poll(0.05)
        if message is None:
            return
        if message.error():
            raise kafka.KafkaException(message.error())
        self.read.append(message.value())
        try:
            self.consumer.commit(message, asynchronous=False)
        except kafka.KafkaException as error:
            # Whoever gets the partition reads this one once more.
            if error.args[0].name() not in ("REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION"):
                raise


def until(what, members, holds):
    deadline = time.monotonic() + 2 * WAIT
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: {[(member.has, len(member.read)) for member in members]}")
        for member in members:
            member.poll()


def numbers(prefix, count):
    return [b"%s-%d" % (prefix, i) for i in range(count)]


def write(topic, partitions, values):
    producer = kafka.Producer({"bootstrap.servers": BROKER})
    for i, value in enumerate(values):
        producer.produce(topic, value, partition=i % partitions)
    if producer.flush(WAIT):
        raise TimeoutError(f"{topic}: not all delivered")


def create(topic, partitions):
    admin = AdminClient({"bootstrap.servers": BROKER})
    admin.create_topics([kafka.admin.NewTopic(topic, partitions, 1)])[topic].result(WAIT)


def group_with(strategy):
    topic, group = f"confluent-{strategy}-{RUN}", f"confluent-{strategy}-{RUN}"
    create(topic, 4)
    write(topic, 4, numbers(b"first", 80))
    join = lambda: Member(topic, group, partition_assignment_strategy=strategy)
    first = join()
    until("alone", [first], lambda: len(first.read) == 80)
    check(f"{strategy}: alone, it has all", {0, 1, 2, 3}, first.has)
    second = join()
    both = [first, second]
    read = lambda: set(first.read) | set(second.read)
    until("both", both, lambda: len(first.has) == 2 and len(second.has) == 2)
    check(f"{strategy}: both have all", {0, 1, 2, 3}, first.has | second.has)
    write(topic, 4, numbers(b"second", 80))
    until("both read", both, lambda: len(read()) == 160)
    # A rebalance that comes between a record and its commit can bring it to both.
    check(f"{strategy}: hardly anything twice", True, len(first.read) + len(second.read) < 170)
    second.consumer.close()
    until("the first again", [first], lambda: len(first.has) == 4)
    write(topic, 4, numbers(b"third", 20))
    until("the first reads", [first], lambda: len(read()) == 180)
    told = lambda: first.statistics[-1].get("cgrp", {}) if first.statistics else {}
    until("statistics", [first], lambda: (told().get("join_state"), told().get("assignment_size")) == ("steady", 4))
    check(f"{strategy}: statistics tell of the rebalances", True, told()["rebalance_cnt"] >= 3)
    first.consumer.close()
    write(topic, 4, numbers(b"fourth", 20))
    later = join()
    until("a later one", [later], lambda: len(later.read) >= 20)
    check(f"{strategy}: the next one goes on where they stopped", sorted(numbers(b"fourth", 20)), sorted(later.read))
    later.consumer.close()


def static_members():
    topic, group = f"confluent-static-{RUN}", f"confluent-static-{RUN}"
    create(topic, 2)
    write(topic, 2, numbers(b"first", 10))
    first = Member(topic, group, group_instance_id="one", session_timeout_ms=30000)
    until("static", [first], lambda: len(first.read) == 10)
    name = first.consumer.memberid()
    first.consumer.close()
    started = time.monotonic()
    again = Member(topic, group, group_instance_id="one", session_timeout_ms=30000)
    until("static again", [again], lambda: len(again.has) == 2)
    # A rebalance would wait for the member that left until its session times out.
    check("static member: back without waiting", True, time.monotonic() - started < 25)
    check("static member: another id", True, again.consumer.memberid() != name)
    fenced = Member(topic, group, group_instance_id="one", session_timeout_ms=30000)
    until("the other", [fenced], lambda: len(fenced.has) == 2)
    try:
        until("fenced", [again], lambda: False)
    except kafka.KafkaException as error:
        check("static member: fenced by another of its name", "_FATAL", error.args[0].name())
    fenced.consumer.close()


def group_administration():
    topic, group = f"confluent-admin-{RUN}", f"confluent-admin-{RUN}"
    create(topic, 2)
    write(topic, 2, numbers(b"first", 10))
    admin = AdminClient({"bootstrap.servers": BROKER})
    member = Member(topic, group, client_id="administrated")
    until("admin", [member], lambda: len(member.read) == 10)
    described = admin.describe_consumer_groups([group])[group].result(WAIT)
    check(
        "describe a group",
        (ConsumerGroupState.STABLE, "range", 1, "administrated", 2),
        (
            described.state,
            described.partition_assignor,
            len(described.members),
            described.members[0].client_id,
            len(described.members[0].assignment.topic_partitions),
        ),
    )
    listed = admin.list_consumer_groups(states={ConsumerGroupState.STABLE}).result(WAIT).valid
    check("list stable groups", True, group in [one.group_id for one in listed])
    try:
        admin.delete_consumer_groups([group])[group].result(WAIT)
    except kafka.KafkaException as error:
        check("delete a group with members", "NON_EMPTY_GROUP", error.args[0].name())
    member.consumer.close()
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 2), TopicPartition(topic, 1, 3)])
    admin.alter_consumer_group_offsets([wanted])[group].result(WAIT)
    read = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(WAIT)
    offsets = sorted((one.partition, one.offset) for one in read.topic_partitions)
    check("list offsets of a group behind their change", [(0, 2), (1, 3)], offsets)
    admin.delete_consumer_groups([group])[group].result(WAIT)
    listed = admin.list_consumer_groups().result(WAIT).valid
    check("a deleted group is gone", False, group in [one.group_id for one in listed])
    # A consumer that is in no group, and commits.
    alone = assigned(topic, 0)
    alone.commit(offsets=[TopicPartition(topic, 0, 4, metadata="mine")], asynchronous=False)
    (committed,) = alone.committed([TopicPartition(topic, 0)], WAIT)
    check("commit without a group", (4, "mine"), (committed.offset, committed.metadata))
    alone.close()


print(f"confluent-kafka {kafka.version()}, librdkafka {kafka.libversion()[0]}")
records = varied(1000)
for codec in CODECS:
    topic = f"confluent-{codec}-{RUN}"
    check(f"codec {codec}, written", list(range(1000)), produce(topic, records, compression_type=codec, linger_ms=20))
    check(f"codec {codec}, read", numbered(records), consume(topic))

admin = AdminClient({"bootstrap.servers": BROKER})
for acks in ["0", "1", "all"]:
    topic = f"confluent-acks-{acks}-{RUN}"
    admin.create_topics([kafka.admin.NewTopic(topic, 1, 1)])[topic].result(WAIT)
    produce(topic, records, acks=acks)
    read = consume(topic)
    while acks == "0" and len(read) < len(records):  # acks=0 does not wait for the write
        read = consume(topic)
    check(f"acks {acks}", numbered(records), read)

topic = f"confluent-idempotent-{RUN}"
produce(topic, records, enable_idempotence=True, batch_num_messages=20)
check("idempotence", numbered(records), consume(topic))
for offset in [0, 1, 19, 20, 555, 999]:
    check(f"from offset {offset}", numbered(records)[offset:], consume(topic, offset))
check("from the end", [], consume(topic, kafka.OFFSET_END))
consumer = assigned(topic, 0)
check("watermarks", (0, 1000), consumer.get_watermark_offsets(kafka.TopicPartition(topic, 0), WAIT))
for what, timestamp, offset in [
    ("before all", records[0][3] - 1, 0),
    ("in the middle", records[321][3], 321),
    ("after all", records[999][3] + 1, kafka.OFFSET_END),
]:
    found = consumer.offsets_for_times([kafka.TopicPartition(topic, 0, timestamp)], WAIT)[0]
    check(f"offset for a time {what}", offset, found.offset)
consumer.close()

topic = f"confluent-big-{RUN}"
big = [(b"", bytes(i % 251 for i in range(BIG)), [], records[0][3])]
check("big record, written", [0], produce(topic, big, message_max_bytes=2_000_000))
check("big record, read", numbered(big), consume(topic))
too_big = [(None, bytes(BIG + 1), [], records[0][3])]
check("too big a record", ["MSG_SIZE_TOO_LARGE"], produce(topic, too_big, message_max_bytes=2_000_000))

# At once: most of their time is waiting for rebalances.
with ThreadPoolExecutor() as pool:
    jobs = [pool.submit(group_with, strategy) for strategy in ["range", "roundrobin", "cooperative-sticky"]]
    jobs += [pool.submit(static_members), pool.submit(group_administration)]
    for job in jobs:
        job.result()
finish()
