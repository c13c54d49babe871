import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreatePartitionsOptions;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.QuorumInfo;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.quota.ClientQuotaFilterComponent;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Java's admin client against a broker: every call that works on topics, records, settings, the cluster and quotas, one line
 * per check.
 *
 * <p>Java runs it as it stands (see ../admin.sh): {@code java -cp JARS AdminCalls.java HOST:PORT RUN}. Names end with the
 * run, so that it can run against one broker as often as you like. The status is 1 if a check has failed.
 */
public class AdminCalls {
    private static final long WAIT_S = 30;
    private static int failures;

    public static void main(String[] arguments) throws Exception {
        String broker = arguments[0];
        String run = arguments[1];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", broker))) {
            topics(admin, run);
            settings(admin, run);
            records(admin, broker, run);
            cluster(admin, run);
            quotas(admin, broker, run);
        }
        System.exit(failures == 0 ? 0 : 1);
    }

    private static void topics(Admin admin, String run) throws Exception {
        String one = "java-one-" + run;
        String placed = "java-placed-" + run;
        String bad = "java-bad-" + run;
        List<NewTopic> wanted = List.of(
                new NewTopic(one, 3, (short) 1).configs(Map.of("retention.ms", "1234567")),
                new NewTopic(placed, Map.of(0, List.of(1), 1, List.of(1))),
                new NewTopic(bad, 1, (short) 7));
        CreateTopicsResult validated = admin.createTopics(wanted, new CreateTopicsOptions().validateOnly(true));
        same("validate: a good topic", "3 partitions", validated.numPartitions(one).get() + " partitions");
        same("validate: a bad topic", "InvalidReplicationFactorException", error(validated.values().get(bad)));
        same("validate creates nothing", Set.of(), ours(admin, run));
        CreateTopicsResult created = admin.createTopics(wanted);
        same("create", "null", error(created.values().get(one)));
        same("create: its partitions and replicas", "3, 1",
                created.numPartitions(one).get() + ", " + created.replicationFactor(one).get());
        same("create: its settings", "1234567", created.config(one).get().get("retention.ms").value());
        same("create with assignments", "null, 2",
                error(created.values().get(placed)) + ", " + created.numPartitions(placed).get());
        same("create: the others do not suffer", "InvalidReplicationFactorException", error(created.values().get(bad)));
        same("create what there is", "TopicExistsException", error(admin.createTopics(wanted).values().get(one)));
        same("list", Set.of(one, placed), ours(admin, run));

        TopicDescription described = await(admin.describeTopics(List.of(one)).topicNameValues().get(one));
        same("describe", "3 led by 1", described.partitions().size() + " led by " + described.partitions().get(2).leader().id());
        Uuid id = await(created.topicId(one));
        same("describe: the id is that of the answer", id, described.topicId());
        TopicDescription byId = await(admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).topicIdValues().get(id));
        same("describe by id", one, byId.name());
        same("describe what there is not", "UnknownTopicOrPartitionException",
                error(admin.describeTopics(List.of(bad)).topicNameValues().get(bad)));

        Map<String, NewPartitions> more = new HashMap<>();
        more.put(one, NewPartitions.increaseTo(4));
        more.put(placed, NewPartitions.increaseTo(3, List.of(List.of(1))));
        more.put(bad, NewPartitions.increaseTo(2));
        Map<String, KafkaFuture<Void>> checked =
                admin.createPartitions(more, new CreatePartitionsOptions().validateOnly(true)).values();
        same("validate more partitions", "null, null, UnknownTopicOrPartitionException",
                error(checked.get(one)) + ", " + error(checked.get(placed)) + ", " + error(checked.get(bad)));
        Map<String, KafkaFuture<Void>> added = admin.createPartitions(more).values();
        same("more partitions", "null, null, UnknownTopicOrPartitionException",
                error(added.get(one)) + ", " + error(added.get(placed)) + ", " + error(added.get(bad)));
        same("more partitions than there are", "InvalidPartitionsException",
                error(admin.createPartitions(Map.of(one, NewPartitions.increaseTo(4))).values().get(one)));
        same("more partitions on a broker that there is not", "InvalidReplicaAssignmentException",
                error(admin.createPartitions(Map.of(one, NewPartitions.increaseTo(5, List.of(List.of(9))))).values().get(one)));
        same("describe with more partitions", "4",
                "" + await(admin.describeTopics(List.of(one)).allTopicNames()).get(one).partitions().size());

        same("delete by id", "null",
                error(admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).topicIdValues().get(id)));
        same("delete by an id that there is not", "UnknownTopicIdException",
                error(admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).topicIdValues().get(id)));
        Map<String, KafkaFuture<Void>> deleted = admin.deleteTopics(List.of(placed, bad)).topicNameValues();
        same("delete by name", "null, UnknownTopicOrPartitionException",
                error(deleted.get(placed)) + ", " + error(deleted.get(bad)));
        // Kafka's brokers hear of a deletion a little later than who asked for it.
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_S);
        while (!ours(admin, run).isEmpty() && System.nanoTime() < until) Thread.onSpinWait();
        same("list behind the deletion", Set.of(), ours(admin, run));
        same("describe cluster", "1", "" + await(admin.describeCluster().controller()).id());
        same("describe cluster: nodes", 1, await(admin.describeCluster().nodes()).size());
    }

    private static void settings(Admin admin, String run) throws Exception {
        String topic = "java-settings-" + run;
        await(admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all());
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Collection<AlterConfigOp> changes = List.of(
                new AlterConfigOp(new ConfigEntry("retention.ms", "86400000"), AlterConfigOp.OpType.SET),
                new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND));
        same("alter", "null", error(admin.incrementalAlterConfigs(Map.of(resource, changes)).values().get(resource)));
        Config config = await(admin.describeConfigs(List.of(resource),
                new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true)).all()).get(resource);
        ConfigEntry retention = config.get("retention.ms");
        same("describe what was set", "86400000 DYNAMIC_TOPIC_CONFIG LONG",
                retention.value() + " " + retention.source() + " " + retention.type());
        same("describe: documentation and synonyms", true,
                retention.documentation().length() > 20 && retention.synonyms().get(0).value().equals("86400000"));
        same("describe what was appended", new TreeSet<>(List.of("compact", "delete")),
                new TreeSet<>(List.of(config.get("cleanup.policy").value().split(","))));
        Collection<AlterConfigOp> back =
                List.of(new AlterConfigOp(new ConfigEntry("retention.ms", ""), AlterConfigOp.OpType.DELETE));
        same("alter back", "null", error(admin.incrementalAlterConfigs(Map.of(resource, back)).values().get(resource)));
        retention = await(admin.describeConfigs(List.of(resource)).all()).get(resource).get("retention.ms");
        same("describe the default", "604800000 DEFAULT_CONFIG", retention.value() + " " + retention.source());
        Collection<AlterConfigOp> wrong =
                List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "soon"), AlterConfigOp.OpType.SET));
        same("alter to what is no value", "InvalidConfigurationException",
                error(admin.incrementalAlterConfigs(Map.of(resource, wrong)).values().get(resource)));
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
        same("describe a broker", "1",
                await(admin.describeConfigs(List.of(broker)).all()).get(broker).get("num.partitions").value());
        await(admin.deleteTopics(List.of(topic)).all());
    }

    private static void records(Admin admin, String broker, String run) throws Exception {
        String topic = "java-records-" + run;
        await(admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1))).all());
        TopicPartition partition = new TopicPartition(topic, 0);
        TopicPartition empty = new TopicPartition(topic, 1);
        long now = System.currentTimeMillis();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(
                Map.of("bootstrap.servers", broker, "acks", "all"), new StringSerializer(), new StringSerializer())) {
            for (int number = 0; number < 10; number++) {
                // The eighth one is the newest.
                long time = now - (number == 7 ? 0 : 1000 - number);
                producer.send(new ProducerRecord<>(topic, 0, time, null, "value")).get(WAIT_S, TimeUnit.SECONDS);
            }
        }
        same("offsets: earliest", 0L, offset(admin, partition, OffsetSpec.earliest()));
        same("offsets: latest", 10L, offset(admin, partition, OffsetSpec.latest()));
        same("offsets: max timestamp", 7L, offset(admin, partition, OffsetSpec.maxTimestamp()));
        same("offsets: by time", 3L, offset(admin, partition, OffsetSpec.forTimestamp(now - 997)));
        same("offsets: by a time to come", -1L, offset(admin, partition, OffsetSpec.forTimestamp(now + 1)));
        same("offsets: earliest local", 0L, offset(admin, partition, OffsetSpec.earliestLocal()));
        same("offsets: latest tiered", -1L, offset(admin, partition, OffsetSpec.latestTiered()));
        same("offsets: of an empty partition", 0L, offset(admin, empty, OffsetSpec.latest()));
        same("offsets: max timestamp of an empty partition", -1L, offset(admin, empty, OffsetSpec.maxTimestamp()));
        same("delete records", 5L, await(admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(5)))
                .lowWatermarks().get(partition)).lowWatermark());
        same("delete records beyond the end", "OffsetOutOfRangeException",
                error(admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(11))).lowWatermarks().get(partition)));
        same("offsets: earliest behind the deletion", 5L, offset(admin, partition, OffsetSpec.earliest()));
        same("offsets: by time behind the deletion", 5L, offset(admin, partition, OffsetSpec.forTimestamp(now - 2000)));
        Map<String, LogDirDescription> directories = await(admin.describeLogDirs(List.of(1)).allDescriptions()).get(1);
        same("log dirs: one", 1, directories.size());
        LogDirDescription directory = directories.values().iterator().next();
        same("log dirs: room", true, directory.totalBytes().getAsLong() > directory.usableBytes().getAsLong()
                && directory.usableBytes().getAsLong() > 0);
        TreeMap<Integer, Boolean> sizes = new TreeMap<>();
        directory.replicaInfos().forEach((replica, info) -> {
            if (replica.topic().equals(topic)) sizes.put(replica.partition(), info.size() > 0 && info.offsetLag() == 0);
        });
        same("log dirs: sizes", Map.of(0, true, 1, false), sizes);
        await(admin.deleteTopics(List.of(topic)).all());
    }

    /** What is true of a cluster of one node. */
    private static void cluster(Admin admin, String run) throws Exception {
        String topic = "java-cluster-" + run;
        await(admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all());
        TopicPartition partition = new TopicPartition(topic, 0);
        TopicPartition none = new TopicPartition(topic, 7);
        Map<TopicPartition, java.util.Optional<Throwable>> elected =
                await(admin.electLeaders(ElectionType.PREFERRED, Set.of(partition, none)).partitions());
        same("elect leaders", "ElectionNotNeededException, UnknownTopicOrPartitionException",
                elected.get(partition).get().getClass().getSimpleName() + ", "
                        + elected.get(none).get().getClass().getSimpleName());
        same("reassign to where it is", "null", error(admin.alterPartitionReassignments(Map.of(partition,
                java.util.Optional.of(new NewPartitionReassignment(List.of(1))))).values().get(partition)));
        same("reassign to a broker that there is not", "InvalidReplicaAssignmentException",
                error(admin.alterPartitionReassignments(Map.of(partition,
                        java.util.Optional.of(new NewPartitionReassignment(List.of(9))))).values().get(partition)));
        same("call off what does not move", "NoReassignmentInProgressException", error(admin.alterPartitionReassignments(
                Map.of(partition, java.util.Optional.empty())).values().get(partition)));
        same("reassignments", Map.of(), await(admin.listPartitionReassignments().reassignments()));
        QuorumInfo quorum = await(admin.describeMetadataQuorum().quorumInfo());
        same("quorum: its leader and voters", "1, 1", quorum.leaderId() + ", " + quorum.voters().get(0).replicaId());
        same("quorum: nothing is missing", true,
                quorum.highWatermark() > 0 && quorum.voters().get(0).logEndOffset() >= quorum.highWatermark());
        same("producers", 0, await(admin.describeProducers(List.of(partition)).partitionResult(partition))
                .activeProducers().size());
        same("transactions", List.of(), List.copyOf(await(admin.listTransactions().all())));
        same("unregister a broker that there is not", "BrokerIdNotRegisteredException", error(admin.unregisterBroker(77).all()));
        TopicPartitionReplica replica = new TopicPartitionReplica(topic, 0, 1);
        same("move to a directory that there is not", "LogDirNotFoundException",
                error(admin.alterReplicaLogDirs(Map.of(replica, "/no/such/directory")).values().get(replica)));
        ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, "java-group-" + run);
        ConfigResource metrics = new ConfigResource(ConfigResource.Type.CLIENT_METRICS, "java-metrics-" + run);
        Map<ConfigResource, Collection<AlterConfigOp>> changes = Map.of(
                group, List.of(new AlterConfigOp(new ConfigEntry("consumer.session.timeout.ms", "50000"), AlterConfigOp.OpType.SET)),
                metrics, List.of(new AlterConfigOp(new ConfigEntry("interval.ms", "60000"), AlterConfigOp.OpType.SET)));
        same("settings of groups and of metrics", "null", error(admin.incrementalAlterConfigs(changes).all()));
        Map<ConfigResource, Config> described = await(admin.describeConfigs(List.of(group, metrics)).all());
        same("describe them", "50000, 60000", described.get(group).get("consumer.session.timeout.ms").value() + ", "
                + described.get(metrics).get("interval.ms").value());
        same("list them", true, await(admin.listConfigResources(
                Set.of(ConfigResource.Type.CLIENT_METRICS), new ListConfigResourcesOptions()).all()).contains(metrics));
        Map<ConfigResource, Collection<AlterConfigOp>> back = Map.of(
                group, List.of(new AlterConfigOp(new ConfigEntry("consumer.session.timeout.ms", ""), AlterConfigOp.OpType.DELETE)),
                metrics, List.of(new AlterConfigOp(new ConfigEntry("interval.ms", ""), AlterConfigOp.OpType.DELETE)));
        same("take them back", "null", error(admin.incrementalAlterConfigs(back).all()));
        await(admin.deleteTopics(List.of(topic)).all());
    }

    /** A producer that is held to its quota, and says so in its metrics. */
    private static void quotas(Admin admin, String broker, String run) throws Exception {
        String topic = "java-quotas-" + run;
        String client = "java-client-" + run;
        await(admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all());
        ClientQuotaEntity entity = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, client));
        ClientQuotaFilter filter = ClientQuotaFilter.containsOnly(
                List.of(ClientQuotaFilterComponent.ofEntity(ClientQuotaEntity.CLIENT_ID, client)));
        same("set a quota", "null", error(admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity,
                List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 20_000.0))))).all()));
        same("describe it", Map.of(entity, Map.of("producer_byte_rate", 20_000.0)),
                await(admin.describeClientQuotas(filter).entities()));
        same("a quota that cannot be", "InvalidRequestException", error(admin.alterClientQuotas(List.of(
                new ClientQuotaAlteration(entity, List.of(new ClientQuotaAlteration.Op("no_such_rate", 1.0))))).all()));
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(
                Map.of("bootstrap.servers", broker, "acks", "all", "client.id", client, "batch.size", 65_536),
                new StringSerializer(), new StringSerializer())) {
            String value = "x".repeat(60_000);
            for (int number = 0; number < 5; number++) {
                producer.send(new ProducerRecord<>(topic, value)).get(WAIT_S, TimeUnit.SECONDS);
            }
            double throttled = producer.metrics().entrySet().stream()
                    .filter(metric -> metric.getKey().name().equals("produce-throttle-time-max"))
                    .mapToDouble(metric -> (Double) metric.getValue().metricValue()).max().orElse(0);
            same("the producer knows that it is held back", true, throttled > 0);
        }
        same("take the quota back", "null", error(admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity,
                List.of(new ClientQuotaAlteration.Op("producer_byte_rate", null))))).all()));
        same("describe what is gone", Map.of(), await(admin.describeClientQuotas(filter).entities()));
        await(admin.deleteTopics(List.of(topic)).all());
    }

    private static long offset(Admin admin, TopicPartition partition, OffsetSpec spec) throws Exception {
        return await(admin.listOffsets(Map.of(partition, spec)).partitionResult(partition)).offset();
    }

    private static Set<String> ours(Admin admin, String run) throws Exception {
        return await(admin.listTopics().names()).stream().filter(name -> name.endsWith("-" + run)).collect(Collectors.toSet());
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

    private static void same(String what, Object expected, Object actual) {
        boolean same = expected.equals(actual);
        failures += same ? 0 : 1;
        System.out.println((same ? "ok      " : "FAILED  ") + "Java admin client: " + what);
        if (!same) System.out.println("        expected " + expected + ", got " + actual);
    }
}
