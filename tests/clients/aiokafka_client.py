#!/usr/bin/env python3
"""aiokafka, Python without librdkafka, against a broker. usage: aiokafka_client.py HOST:PORT"""

import asyncio
import importlib.metadata
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalOperation, MessageSizeTooLargeError

from records import BIG, CODECS, RUN, check, finish, numbered, varied

BROKER = sys.argv[1]
WAIT_MS = 30_000


async def produce(topic, records, **config):
    async with AIOKafkaProducer(bootstrap_servers=BROKER, linger_ms=20, request_timeout_ms=WAIT_MS, **config) as producer:
        sent = [
            await producer.send(topic, value, key, 0, timestamp, headers) for key, value, headers, timestamp in records
        ]
        await producer.flush()
        answers = [await one for one in sent]
    return [answer.offset if answer else None for answer in answers]


async def assigned(topic):
    consumer = AIOKafkaConsumer(bootstrap_servers=BROKER, enable_auto_commit=False, auto_offset_reset="none")
    await consumer.start()
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    return consumer, partition


async def consume(topic, offset=None):
    """From `offset`, or from the beginning, to what the broker says is the end."""
    consumer, partition = await assigned(topic)
    try:
        end = (await consumer.end_offsets([partition]))[partition]
        if offset is None:
            await consumer.seek_to_beginning(partition)
        else:
            consumer.seek(partition, offset)
        records = []
        while await consumer.position(partition) < end:
            fetched = await consumer.getmany(partition, timeout_ms=WAIT_MS)
            if not fetched:
                raise TimeoutError(f"{topic}: no end after {len(records)} records")
            records += [(r.offset, r.key, r.value, list(r.headers), r.timestamp) for r in fetched[partition]]
        return records
    finally:
        await consumer.stop()


class Member(ConsumerRebalanceListener):
    """A consumer in a group that knows what it has and what it has read, and commits at once what it read."""

    def __init__(self, topic, group, **config):
        self.topic, self.has, self.read, self.stopped = topic, set(), [], False
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=BROKER,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=6000,
            heartbeat_interval_ms=300,
            **config,
        )
        self.consumer.subscribe([topic], listener=self)

    async def start(self):
        await self.consumer.start()
        self.task = asyncio.create_task(self.poll())
        return self

    async def finish(self):
        self.stopped = True
        await self.task

    async def stop(self):
        await self.finish()
        await self.consumer.stop()

    async def on_partitions_assigned(self, assigned):
        self.has = {partition.partition for partition in assigned}

    async def on_partitions_revoked(self, revoked):
        self.has = set()

    async def poll(self):
        while not self.stopped:
            fetched = await self.consumer.getmany(timeout_ms=50)
            for records in fetched.values():
                self.read += [record.value for record in records]
            if fetched:
                try:
                    await self.consumer.commit()
                except (CommitFailedError, IllegalOperation):  # whoever gets the partitions reads them once more
                    pass


async def until(what, *members, holds):
    for _ in range(1200):
        if holds():
            return
        for member in members:
            if member.task.done():
                member.task.result()
        await asyncio.sleep(0.05)
    raise TimeoutError(f"{what}: {[(member.has, len(member.read)) for member in members]}")


def numbers(prefix, count):
    return [b"%s-%d" % (prefix, i) for i in range(count)]


async def write(topic, partitions, values):
    async with AIOKafkaProducer(bootstrap_servers=BROKER) as producer:
        sent = [await producer.send(topic, value, partition=i % partitions) for i, value in enumerate(values)]
        await asyncio.gather(*sent)


async def group_with(admin, strategy, name):
    topic, group = f"aiokafka-group-{name}-{RUN}", f"aiokafka-{name}-{RUN}"
    await admin.create_topics([NewTopic(topic, 4, 1)])
    await write(topic, 4, numbers(b"first", 80))
    join = Member(topic, group, partition_assignment_strategy=[strategy]).start
    first = await join()
    await until(f"{name} alone", first, holds=lambda: len(first.read) == 80)
    check(f"{name}: alone, it has all", {0, 1, 2, 3}, first.has)
    second = await Member(topic, group, partition_assignment_strategy=[strategy]).start()
    await until(f"{name} both", first, second, holds=lambda: len(first.has) == 2 and len(second.has) == 2)
    check(f"{name}: both have all", {0, 1, 2, 3}, first.has | second.has)
    await write(topic, 4, numbers(b"second", 80))
    read = lambda: set(first.read) | set(second.read)
    await until(f"{name} both read", first, second, holds=lambda: len(read()) == 160)
    await second.stop()
    await until(f"{name} the first again", first, holds=lambda: len(first.has) == 4)
    await write(topic, 4, numbers(b"third", 20))
    await until(f"{name} the first reads", first, holds=lambda: len(read()) == 180)
    await first.stop()
    await write(topic, 4, numbers(b"fourth", 20))
    later = await Member(topic, group, partition_assignment_strategy=[strategy]).start()
    await until(f"{name} a later one", later, holds=lambda: len(later.read) >= 20)
    check(f"{name}: the next one goes on where they stopped", sorted(numbers(b"fourth", 20)), sorted(later.read))
    await later.finish()
    check(f"{name}: committed", 50, await later.consumer.committed(TopicPartition(topic, 1)))
    await later.consumer.stop()


async def static_member(admin):
    topic, group = f"aiokafka-static-{RUN}", f"aiokafka-static-{RUN}"
    await admin.create_topics([NewTopic(topic, 2, 1)])
    await write(topic, 2, numbers(b"first", 10))
    first = await Member(topic, group, group_instance_id="one").start()
    await until("static", first, holds=lambda: len(first.read) == 10)
    await first.stop()
    again = await Member(topic, group, group_instance_id="one").start()
    await write(topic, 2, numbers(b"second", 10))
    await until("static again", again, holds=lambda: len(again.read) >= 10)
    check("static member: goes on", sorted(numbers(b"second", 10)), sorted(again.read))
    (described,) = await admin.describe_consumer_groups([group])
    ((_, _, state, protocol_type, _, members, *_),) = described.groups
    check("describe a group", ("Stable", "consumer", 1), (state, protocol_type, len(members)))
    await again.stop()


async def groups():
    admin = AIOKafkaAdminClient(bootstrap_servers=BROKER)
    await admin.start()
    strategies = [
        (RangePartitionAssignor, "range"),
        (RoundRobinPartitionAssignor, "roundrobin"),
        (StickyPartitionAssignor, "sticky"),
    ]
    # At once: most of their time is waiting for rebalances.
    await asyncio.gather(*[group_with(admin, *strategy) for strategy in strategies], static_member(admin))
    listed = {name for name, _ in await admin.list_consumer_groups()}
    check("list groups", True, {f"aiokafka-range-{RUN}", f"aiokafka-sticky-{RUN}"} <= listed)
    offsets = await admin.list_consumer_group_offsets(f"aiokafka-range-{RUN}")
    check("list offsets of a group", [50, 50, 50, 50], [offset.offset for _, offset in sorted(offsets.items())])
    await admin.close()


async def main():
    print(f"aiokafka {importlib.metadata.version('aiokafka')}")
    records = varied(1000)
    for codec in CODECS:
        topic = f"aiokafka-{codec}-{RUN}"
        compression = None if codec == "none" else codec
        offsets = await produce(topic, records, compression_type=compression)
        check(f"codec {codec}, written", list(range(1000)), offsets)
        check(f"codec {codec}, read", numbered(records), await consume(topic))

    for acks in [0, 1, "all"]:
        topic = f"aiokafka-acks-{acks}-{RUN}"
        await produce(topic, records, acks=acks)
        read = await consume(topic)
        while acks == 0 and len(read) < len(records):  # acks=0 does not wait for the write
            read = await consume(topic)
        check(f"acks {acks}", numbered(records), read)

    topic = f"aiokafka-idempotent-{RUN}"
    await produce(topic, records, enable_idempotence=True, max_batch_size=2000)
    check("idempotence", numbered(records), await consume(topic))
    for offset in [0, 1, 19, 20, 555, 999, 1000]:
        check(f"from offset {offset}", numbered(records)[offset:], await consume(topic, offset))

    consumer, partition = await assigned(topic)
    check("start", {partition: 0}, await consumer.beginning_offsets([partition]))
    for what, timestamp, offset in [
        ("before all", records[0][3] - 1, 0),
        ("in the middle", records[321][3], 321),
        ("after all", records[999][3] + 1, None),
    ]:
        found = (await consumer.offsets_for_times({partition: timestamp}))[partition]
        check(f"offset for a time {what}", offset, found.offset if found else None)
    await consumer.seek_to_end(partition)
    check("from the end", 1000, await consumer.position(partition))
    await produce(topic, records[:3])
    seen = [(await asyncio.wait_for(consumer.getone(), WAIT_MS / 1000)).offset for _ in range(3)]
    check("what comes after the end", [1000, 1001, 1002], seen)
    await consumer.stop()

    topic = f"aiokafka-big-{RUN}"
    big = [(None, bytes(i % 251 for i in range(BIG)), [], records[0][3])]
    check("big record, written", [0], await produce(topic, big, max_request_size=2_000_000))
    check("big record, read", numbered(big), await consume(topic))
    try:
        answer = await produce(topic, [(None, bytes(BIG + 1), [], records[0][3])], max_request_size=2_000_000)
    except MessageSizeTooLargeError:
        answer = "refused"
    check("too big a record", "refused", answer)
    await groups()


asyncio.run(asyncio.wait_for(main(), 300))
finish()
