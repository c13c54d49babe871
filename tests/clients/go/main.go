// franz-go, Kafka's client in pure Go, against a broker.
//
// usage: go-client HOST:PORT                       every check, a line each
//
//	go-client HOST:PORT write TOPIC CODEC        writes its input, a record a line
//	go-client HOST:PORT read TOPIC COUNT         prints so many values of partition 0
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const wait = 30 * time.Second

var (
	broker   string
	run      = fmt.Sprintf("%d-%d", time.Now().Unix(), os.Getpid())
	failures int
	codecs   = []string{"none", "gzip", "snappy", "lz4", "zstd"}
)

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	default:
		return kgo.NoCompression()
	}
}

func check(what string, expected, actual any) {
	if reflect.DeepEqual(expected, actual) {
		fmt.Printf("ok      %s\n", what)
		return
	}
	failures++
	fmt.Printf("FAILED  %s\n        expected %.300v\n        not      %.300v\n", what, expected, actual)
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Printf("FAILED  %v\n", err)
		os.Exit(1)
	}
	return value
}

func fail(err error) {
	if err != nil {
		must(0, err)
	}
}

func bounded() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	time.AfterFunc(wait, cancel)
	return ctx
}

func client(options ...kgo.Opt) *kgo.Client {
	options = append([]kgo.Opt{kgo.SeedBrokers(broker), kgo.AllowAutoTopicCreation()}, options...)
	return must(kgo.NewClient(options...))
}

func records(topic string, partitions int32, values []string) []*kgo.Record {
	made := make([]*kgo.Record, len(values))
	for i, value := range values {
		made[i] = &kgo.Record{
			Topic: topic, Partition: int32(i) % partitions, Key: []byte("key-" + value), Value: []byte(value),
			Headers: []kgo.RecordHeader{{Key: "number", Value: []byte(strconv.Itoa(i))}},
		}
	}
	return made
}

func produce(topic string, partitions int32, values []string, options ...kgo.Opt) {
	producer := client(append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	defer producer.Close()
	fail(producer.ProduceSync(bounded(), records(topic, partitions, values)...).FirstErr())
}

// consume reads so many records of partition 0 from an offset on.
func consume(topic string, from int64, count int) []*kgo.Record {
	consumer := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(from)}}))
	defer consumer.Close()
	var read []*kgo.Record
	ctx := bounded()
	for len(read) < count {
		fetches := consumer.PollFetches(ctx)
		fail(fetches.Err())
		read = append(read, fetches.Records()...)
	}
	return read
}

func values(read []*kgo.Record) []string {
	texts := make([]string, len(read))
	for i, record := range read {
		texts[i] = string(record.Value)
	}
	return texts
}

func numbered(prefix string, count int) []string {
	made := make([]string, count)
	for i := range made {
		made[i] = fmt.Sprintf("%s-%d-%s", prefix, i, strings.Repeat("x", i%97))
	}
	return made
}

func testCodecs() {
	for _, name := range codecs {
		topic := fmt.Sprintf("go-%s-%s", name, run)
		sent := numbered(name, 1000)
		produce(topic, 1, sent, kgo.ProducerBatchCompression(codec(name)), kgo.ProducerLinger(20*time.Millisecond))
		read := consume(topic, 0, len(sent))
		check("codec "+name, sent, values(read))
		check("codec "+name+", keys, headers and offsets", []string{"key-" + sent[77], "number", "77", "77"}, []string{
			string(read[77].Key), read[77].Headers[0].Key, string(read[77].Headers[0].Value), fmt.Sprint(read[77].Offset)})
		check("codec "+name+", from inside a batch", sent[321:], values(consume(topic, 321, len(sent)-321)))
	}
	for name, acks := range map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()} {
		topic := fmt.Sprintf("go-acks-%s-%s", name, run)
		create(topic, 1)
		options := []kgo.Opt{kgo.RequiredAcks(acks)}
		if name != "all" {
			options = append(options, kgo.DisableIdempotentWrite())
		}
		sent := numbered(name, 200)
		produce(topic, 1, sent, options...)
		check("acks "+name, sent, values(consume(topic, 0, len(sent))))
	}
}

func create(topic string, partitions int32) {
	admin := kadm.NewClient(client())
	defer admin.Close()
	fail(must(admin.CreateTopics(bounded(), partitions, 1, nil, topic))[topic].Err)
}

// member is a consumer in a group that knows what it has.
type member struct {
	client *kgo.Client
	read   []string
	has    map[int32]bool
}

func join(group, topic string, options ...kgo.Opt) *member {
	m := &member{has: map[int32]bool{}}
	change := func(is bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, changed map[string][]int32) {
			for _, partition := range changed[topic] {
				if is {
					m.has[partition] = true
				} else {
					delete(m.has, partition)
				}
			}
		}
	}
	m.client = client(append([]kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(6 * time.Second),
		kgo.HeartbeatInterval(300 * time.Millisecond), kgo.RebalanceTimeout(20 * time.Second),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false)),
	}, options...)...)
	return m
}

// until polls all members in turn until something holds, and commits what they have read.
func until(what string, members []*member, holds func() bool) {
	deadline := time.Now().Add(2 * wait)
	for {
		done := true
		for _, m := range members {
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			fetches := m.client.PollFetches(ctx)
			cancel()
			if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				fail(err)
			}
			m.read = append(m.read, values(fetches.Records())...)
			if err := m.client.CommitUncommittedOffsets(bounded()); err != nil && !errors.Is(err, kerr.RebalanceInProgress) {
				fail(err)
			}
			done = holds()
			m.client.AllowRebalance()
		}
		if done {
			return
		}
		if time.Now().After(deadline) {
			check(what, "in time", "not in time")
			os.Exit(1)
		}
	}
}

func unique(members ...*member) int {
	seen := map[string]bool{}
	for _, m := range members {
		for _, value := range m.read {
			seen[value] = true
		}
	}
	return len(seen)
}

func testGroups() {
	for name, balancer := range map[string]kgo.GroupBalancer{
		"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(),
		"sticky": kgo.StickyBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer(),
	} {
		topic, group := fmt.Sprintf("go-group-%s-%s", name, run), fmt.Sprintf("go-%s-%s", name, run)
		create(topic, 4)
		produce(topic, 4, numbered("first", 400))
		first := join(group, topic, kgo.Balancers(balancer))
		until(name, []*member{first}, func() bool { return len(first.read) == 400 })
		check(name+": alone, it has all", 4, len(first.has))
		second := join(group, topic, kgo.Balancers(balancer))
		both := []*member{first, second}
		until(name, both, func() bool { return len(first.has) == 2 && len(second.has) == 2 })
		produce(topic, 4, numbered("second", 400))
		until(name, both, func() bool { return unique(both...) == 800 })
		check(name+": both have read", true, len(second.read) > 0 && len(first.read) > 400)
		second.client.Close()
		until(name, []*member{first}, func() bool { return len(first.has) == 4 })
		produce(topic, 4, numbered("third", 100))
		until(name, []*member{first}, func() bool { return unique(both...) == 900 })
		first.client.Close()
		later := join(group, topic, kgo.Balancers(balancer))
		produce(topic, 4, numbered("fourth", 100))
		until(name, []*member{later}, func() bool { return len(later.read) >= 100 })
		sort.Strings(later.read)
		sent := numbered("fourth", 100)
		sort.Strings(sent)
		check(name+": the next one goes on where they stopped", sent, later.read)
		later.client.Close()
	}
}

func testStaticMembers() {
	topic, group := "go-static-"+run, "go-static-"+run
	create(topic, 2)
	produce(topic, 2, numbered("first", 10))
	one := join(group, topic, kgo.InstanceID("one"), kgo.SessionTimeout(30*time.Second))
	until("static", []*member{one}, func() bool { return len(one.read) == 10 })
	_, generation := one.client.GroupMetadata()
	one.client.Close()
	again := join(group, topic, kgo.InstanceID("one"), kgo.SessionTimeout(30*time.Second))
	produce(topic, 2, numbered("second", 10))
	until("static", []*member{again}, func() bool { return len(again.read) >= 10 })
	_, later := again.client.GroupMetadata()
	check("static member: back without a rebalance", generation, later)
	check("static member: goes on", 10, unique(again))

	admin := kadm.NewClient(client())
	defer admin.Close()
	described := must(admin.DescribeGroups(bounded(), group))[group]
	check("static member: its name is told", "one", *described.Members[0].InstanceID)
	left := must(admin.LeaveGroup(bounded(), kadm.LeaveGroup(group).InstanceIDs("one")))
	check("static member: taken out by its name", nil, left["one"].Err)
	again.client.Close()
}

func testAdmin() {
	admin := kadm.NewClient(client())
	defer admin.Close()
	topic, group := "go-admin-"+run, "go-admin-"+run
	created := must(admin.CreateTopics(bounded(), 3, 1, map[string]*string{"retention.ms": kadm.StringPtr("1234567")}, topic))
	check("create a topic", nil, created[topic].Err)
	created = must(admin.CreateTopics(bounded(), 3, 1, nil, topic))
	check("create a topic that there is", true, errors.Is(created[topic].Err, kerr.TopicAlreadyExists))
	check("list topics", 3, len(must(admin.ListTopics(bounded(), topic))[topic].Partitions))
	configs := must(admin.DescribeTopicConfigs(bounded(), topic))
	retention := func() string {
		for _, config := range configs[0].Configs {
			if config.Key == "retention.ms" {
				return config.MaybeValue()
			}
		}
		return ""
	}
	check("describe configs", "1234567", retention())
	altered := must(admin.AlterTopicConfigs(bounded(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("7654321")}}, topic))
	check("alter configs", nil, altered[0].Err)
	configs = must(admin.DescribeTopicConfigs(bounded(), topic))
	check("describe altered configs", "7654321", retention())
	check("more partitions", nil, must(admin.UpdatePartitions(bounded(), 4, topic))[topic].Err)

	produce(topic, 4, numbered("record", 40))
	ends := must(admin.ListEndOffsets(bounded(), topic))
	check("list end offsets", int64(10), ends[topic][3].Offset)
	deletion := kadm.Offsets{}
	deletion.AddOffset(topic, 3, 4, -1)
	must(admin.DeleteRecords(bounded(), deletion))
	check("list start offsets", int64(4), must(admin.ListStartOffsets(bounded(), topic))[topic][3].Offset)

	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, Partition: 1, At: 6, LeaderEpoch: 0, Metadata: "by an admin"})
	committed := must(admin.CommitOffsets(bounded(), group, offsets))
	check("commit without a member", nil, committed[topic][1].Err)
	fetched := must(admin.FetchOffsets(bounded(), group))[topic][1]
	check("fetch offsets", "6 by an admin", fmt.Sprintf("%d %s", fetched.At, fetched.Metadata))
	lags := must(admin.Lag(bounded(), group))
	check("lag", int64(4), lags[group].Lag[topic][1].Lag)
	listed := must(admin.ListGroups(bounded()))[group]
	check("list groups", "Empty", listed.State)
	described := must(admin.DescribeGroups(bounded(), group))[group]
	check("describe a group", "Empty, 0 members", fmt.Sprintf("%s, %d members", described.State, len(described.Members)))
	set := kadm.TopicsSet{}
	set.Add(topic, 1)
	check("delete offsets", nil, must(admin.DeleteOffsets(bounded(), group, set))[topic][1])
	check("fetch deleted offsets", 0, len(must(admin.FetchOffsets(bounded(), group))))
	committed = must(admin.CommitOffsets(bounded(), group, offsets))
	check("commit again", nil, committed[topic][1].Err)
	check("delete a group", nil, must(admin.DeleteGroups(bounded(), group))[group].Err)
	again := must(admin.DeleteGroups(bounded(), group))[group].Err
	check("delete a group that there is not", true, errors.Is(again, kerr.GroupIDNotFound))
	check("delete a topic", nil, must(admin.DeleteTopics(bounded(), topic))[topic].Err)
}

func write(topic, name string) {
	var lines []string
	for scanner := bufio.NewScanner(os.Stdin); scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	produce(topic, 1, lines, kgo.ProducerBatchCompression(codec(name)))
}

func main() {
	broker = os.Args[1]
	switch {
	case len(os.Args) == 5 && os.Args[2] == "write":
		write(os.Args[3], os.Args[4])
		return
	case len(os.Args) == 5 && os.Args[2] == "read":
		fmt.Println(strings.Join(values(consume(os.Args[3], 0, must(strconv.Atoi(os.Args[4])))), "\n"))
		return
	}
	testCodecs()
	testGroups()
	testStaticMembers()
	testAdmin()
	if failures > 0 {
		fmt.Printf("%d failed\n", failures)
		os.Exit(1)
	}
}
