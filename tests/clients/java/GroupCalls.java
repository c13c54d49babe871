import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Java's consumers in groups against a broker: every assignor, static members, topics and partitions that come while a
 * group reads, and what Java's admin client does with groups.
 *
 * Run from source as it stands (see ../groups.sh): {@code java -cp JARS GroupCalls.java HOST:PORT RUN}. Names end with the
 * run. The status is 1 if a check has failed.
 */
public class GroupCalls {
    private static final long WAIT_S = 60;
    private static int failures;
    private static String broker;
    private static String run;

    public static void main(String[] arguments) throws Exception {
        broker = arguments[0];
        run = arguments[1];
        ExecutorService threads = Executors.newCachedThreadPool();
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", broker))) {
            List<Callable<Void>> jobs = new ArrayList<>();
            for (Class<?> assignor : List.of(RangeAssignor.class, RoundRobinAssignor.class, StickyAssignor.class, CooperativeStickyAssignor.class))
                jobs.add(() -> members(admin, assignor));
            jobs.add(() -> staticMembers(admin));
            jobs.add(() -> topicsThatCome(admin));
            jobs.add(() -> offsets(admin));
            // At once: most of their time is waiting for rebalances.
            for (Future<Void> job : threads.invokeAll(jobs)) job.get();
        }
        System.exit(failures == 0 ? 0 : 1);
    }

    /** A consumer that knows what it has and what it has read, and commits at once what it read. */
    private static class Member implements ConsumerRebalanceListener, AutoCloseable {
        final KafkaConsumer<String, String> consumer;
        final Set<TopicPartition> has = new HashSet<>();
        final Set<TopicPartition> revoked = new HashSet<>();
        final List<String> read = new ArrayList<>();

        Member(String group, Map<String, Object> settings) {
            Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", broker, "group.id", group,
                    "enable.auto.commit", false, "auto.offset.reset", "earliest", "session.timeout.ms", 8000,
                    "heartbeat.interval.ms", 300, "metadata.max.age.ms", 500, "client.id", group));
            all.putAll(settings);
            consumer = new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            has.addAll(partitions);
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            has.removeAll(partitions);
            revoked.addAll(partitions);
        }

        void poll() {
            int before = read.size();
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(50))) read.add(record.value());
            if (read.size() == before) return;
            try {
                consumer.commitSync(Duration.ofSeconds(WAIT_S));
            } catch (RebalanceInProgressException | CommitFailedException lost) {
                // Whoever gets the partitions reads these once more.
            }
        }

        @Override
        public void close() {
            consumer.close();
        }
    }

    private static void until(String what, BooleanSupplier holds, Member... members) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_S);
        while (!holds.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                String state = List.of(members).stream().map(member -> member.has + " " + member.read.size()).toList().toString();
                throw new IllegalStateException(what + ": not in time, " + state);
            }
            for (Member member : members) member.poll();
        }
    }

    private static Set<String> distinct(Member... members) {
        return List.of(members).stream().flatMap(member -> member.read.stream()).collect(Collectors.toSet());
    }

    private static void write(String topic, int partitions, String prefix, int count) throws Exception {
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(
                Map.of("bootstrap.servers", broker), new StringSerializer(), new StringSerializer())) {
            List<Future<?>> sent = new ArrayList<>();
            for (int i = 0; i < count; i++) sent.add(producer.send(new ProducerRecord<>(topic, i % partitions, null, prefix + "-" + i)));
            for (Future<?> one : sent) one.get(WAIT_S, TimeUnit.SECONDS);
        }
    }

    private static Set<String> numbers(String prefix, int count) {
        Set<String> numbers = new TreeSet<>();
        for (int i = 0; i < count; i++) numbers.add(prefix + "-" + i);
        return numbers;
    }

    private static void create(Admin admin, String topic, int partitions) throws Exception {
        await(admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all());
    }

    private static Void members(Admin admin, Class<?> assignor) throws Exception {
        String name = assignor.getSimpleName();
        String topic = name + "-" + run;
        Map<String, Object> settings = Map.of("partition.assignment.strategy", assignor.getName());
        create(admin, topic, 4);
        write(topic, 4, "first", 80);
        Member first = new Member(topic, settings);
        first.consumer.subscribe(List.of(topic), first);
        until(name + " alone", () -> first.read.size() == 80, first);
        same(name + ": alone, it has all", 4, first.has.size());
        Member second = new Member(topic, settings);
        second.consumer.subscribe(List.of(topic), second);
        until(name + " both", () -> first.has.size() == 2 && second.has.size() == 2, first, second);
        boolean cooperative = assignor == CooperativeStickyAssignor.class;
        same(name + ": what the first one had to give up", cooperative ? 2 : 4, first.revoked.size());
        write(topic, 4, "second", 80);
        until(name + " both read", () -> distinct(first, second).size() == 160, first, second);
        ConsumerGroupDescription described = await(admin.describeConsumerGroups(List.of(topic)).describedGroups().get(topic));
        same(name + ": described", "Stable, 2 members, 4 partitions", described.groupState() + ", " + described.members().size()
                + " members, " + described.members().stream().mapToInt(member -> member.assignment().topicPartitions().size()).sum()
                + " partitions");
        same(name + ": the strategy", name, strategy(described.partitionAssignor()));
        second.close();
        until(name + " the first again", () -> first.has.size() == 4, first);
        write(topic, 4, "third", 20);
        until(name + " the first reads", () -> distinct(first, second).size() == 180, first);
        first.close();
        write(topic, 4, "fourth", 20);
        try (Member later = new Member(topic, settings)) {
            later.consumer.subscribe(List.of(topic), later);
            until(name + " a later one", () -> later.read.size() >= 20, later);
            same(name + ": the next one goes on where they stopped", numbers("fourth", 20), new TreeSet<>(later.read));
        }
        return null;
    }

    private static String strategy(String protocol) {
        return Map.of("range", "RangeAssignor", "roundrobin", "RoundRobinAssignor", "sticky", "StickyAssignor",
                "cooperative-sticky", "CooperativeStickyAssignor").get(protocol);
    }

    private static Void staticMembers(Admin admin) throws Exception {
        String topic = "java-static-" + run;
        create(admin, topic, 2);
        write(topic, 2, "first", 10);
        Map<String, Object> settings = Map.of("group.instance.id", "one", "session.timeout.ms", 30_000);
        Member first = new Member(topic, settings);
        first.consumer.subscribe(List.of(topic), first);
        until("static", () -> first.read.size() == 10, first);
        int generation = first.consumer.groupMetadata().generationId();
        String id = first.consumer.groupMetadata().memberId();
        first.close();
        try (Member again = new Member(topic, settings)) {
            again.consumer.subscribe(List.of(topic), again);
            until("static again", () -> again.has.size() == 2, again);
            same("static member: no new generation", generation, again.consumer.groupMetadata().generationId());
            same("static member: another id", false, id.equals(again.consumer.groupMetadata().memberId()));
            ConsumerGroupDescription described = await(admin.describeConsumerGroups(List.of(topic)).describedGroups().get(topic));
            MemberDescription member = described.members().iterator().next();
            same("static member: described", Optional.of("one"), member.groupInstanceId());
            same("static member: taken out", "null", error(admin.removeMembersFromConsumerGroup(topic,
                    new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("one")))).memberResult(new MemberToRemove("one"))));
            described = await(admin.describeConsumerGroups(List.of(topic)).describedGroups().get(topic));
            same("static member: then it is out", 0, described.members().size());
        }
        return null;
    }

    private static Void topicsThatCome(Admin admin) throws Exception {
        String topic = "java-coming-" + run;
        create(admin, topic + "-1", 1);
        try (Member member = new Member("java-coming-" + run, Map.of())) {
            member.consumer.subscribe(Pattern.compile(topic + "-.*"), member);
            until("one topic", () -> member.has.size() == 1, member);
            create(admin, topic + "-2", 2);
            until("another topic", () -> member.has.size() == 3, member);
            same("a topic that comes is read", 3, member.consumer.assignment().size());
            await(admin.createPartitions(Map.of(topic + "-1", NewPartitions.increaseTo(2))).all());
            until("more partitions", () -> member.has.size() == 4, member);
            same("partitions that come are read", 4, member.consumer.assignment().size());
            await(admin.deleteTopics(List.of(topic + "-2")).all());
            until("a topic less", () -> member.has.size() == 2, member);
            same("a topic that goes is given up", 2, member.consumer.assignment().size());
        }
        return null;
    }

    private static Void offsets(Admin admin) throws Exception {
        String topic = "java-offsets-" + run;
        String other = "java-others-" + run;
        create(admin, topic, 2);
        write(topic, 2, "first", 10);
        TopicPartition zero = new TopicPartition(topic, 0);
        TopicPartition one = new TopicPartition(topic, 1);
        Map<TopicPartition, OffsetAndMetadata> offsets =
                Map.of(zero, new OffsetAndMetadata(2, Optional.of(0), "zero"), one, new OffsetAndMetadata(3, Optional.empty(), ""));
        same("alter offsets", "null", error(admin.alterConsumerGroupOffsets(topic, offsets).all()));
        same("alter offsets of another group", "null",
                error(admin.alterConsumerGroupOffsets(other, Map.of(zero, new OffsetAndMetadata(1))).all()));
        Map<String, Map<TopicPartition, OffsetAndMetadata>> listed = await(admin.listConsumerGroupOffsets(
                Map.of(topic, new ListConsumerGroupOffsetsSpec(),
                        other, new ListConsumerGroupOffsetsSpec().topicPartitions(List.of(zero, one)))).all());
        same("list offsets: metadata and leader epoch", offsets, listed.get(topic));
        Map<TopicPartition, OffsetAndMetadata> expected = new HashMap<>();
        expected.put(zero, new OffsetAndMetadata(1));
        expected.put(one, null);
        same("list offsets of another group at once", expected, listed.get(other));
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(
                Map.of("bootstrap.servers", broker, "group.id", topic), new StringDeserializer(), new StringDeserializer())) {
            same("committed", new TreeMap<>(Map.of(0, 2L, 1, 3L)), new TreeMap<>(consumer.committed(Set.of(zero, one)).entrySet().stream()
                    .collect(Collectors.toMap(entry -> entry.getKey().partition(), entry -> entry.getValue().offset()))));
            consumer.assign(List.of(zero));
            same("an assigned consumer goes on from there", 2L, consumer.position(zero));
        }
        Set<String> empty = await(admin.listGroups(new ListGroupsOptions().inGroupStates(Set.of(GroupState.EMPTY))).all())
                .stream().map(GroupListing::groupId).collect(Collectors.toSet());
        same("list empty groups", true, empty.contains(topic) && empty.contains(other));
        same("delete offsets", "null", error(admin.deleteConsumerGroupOffsets(topic, Set.of(one)).partitionResult(one)));
        same("list offsets behind the deletion", Set.of(zero),
                await(admin.listConsumerGroupOffsets(topic).partitionsToOffsetAndMetadata()).keySet());
        Map<String, KafkaFuture<Void>> deleted = admin.deleteConsumerGroups(List.of(topic, other, "none-" + run)).deletedGroups();
        same("delete groups", "null, null, GroupIdNotFoundException",
                error(deleted.get(topic)) + ", " + error(deleted.get(other)) + ", " + error(deleted.get("none-" + run)));
        same("describe what is deleted", "GroupIdNotFoundException",
                error(admin.describeConsumerGroups(List.of(topic)).describedGroups().get(topic)));
        return null;
    }

    private static <T> T await(KafkaFuture<T> future) throws Exception {
        return future.get(WAIT_S, TimeUnit.SECONDS);
    }

    /** The name of the error that a call ends with, or "null". */
    private static String error(KafkaFuture<?> future) throws Exception {
        try {
            await(future);
            return "null";
        } catch (ExecutionException failed) {
            return failed.getCause().getClass().getSimpleName();
        }
    }

    private static synchronized void same(String what, Object expected, Object actual) {
        boolean same = expected.equals(actual);
        failures += same ? 0 : 1;
        System.out.println((same ? "ok      " : "FAILED  ") + "Java's groups: " + what);
        if (!same) System.out.println("        expected " + expected + ", got " + actual);
    }
}
