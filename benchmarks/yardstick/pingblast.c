/*
 * The yardstick of the batch driver: echo requests over a ping socket, as fast as C sends them.
 *
 *     cc -O2 -o pingblast pingblast.c
 *     ./pingblast [-n HOSTS] [-b BATCH] [-s PAYLOAD] [-j PROCESSES] [-r ROUNDS] [-t TIMEOUT_MS] [-d]
 *
 * Probes 127.0.0.0 + 1 ... + HOSTS once a round, BATCH (default 256) by one sendmmsg(2), and reads the replies with
 * recvmmsg(2). Each reply is matched by its sequence number, has to come from the address that was probed, and is
 * timed: from a clock reading interpolated over the sendmmsg call to the kernel's receive stamp (SO_TIMESTAMPNS).
 * With -j, so many processes share the hosts, each with its own socket, the i-th on the i-th CPU it may use.
 *
 * With -d packets are sent with IP_PMTUDISC_DO, for which the kernel needs no identification.
 *
 * Prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST_BATCH = 1024, LARGEST_PAYLOAD = 1400, HEADER = 8, CONTROL = 64 };

struct echo {
	uint8_t type, code;
	uint16_t checksum, ident, sequence;
	uint8_t payload[LARGEST_PAYLOAD];
};

struct result {
	uint64_t sent, received, strange;
	int64_t least, most, sum;
};

struct options {
	unsigned hosts, batch, payload, processes, rounds, timeout_ms, dont_fragment;
};

static struct echo requests[LARGEST_BATCH], replies[LARGEST_BATCH];
static struct sockaddr_in destinations[LARGEST_BATCH], sources[LARGEST_BATCH];
static struct iovec out_vectors[LARGEST_BATCH], in_vectors[LARGEST_BATCH];
static struct mmsghdr out[LARGEST_BATCH], in[LARGEST_BATCH];
static char controls[LARGEST_BATCH][CONTROL] __attribute__((aligned(8)));
static int64_t sent_at[65536];
static uint32_t sent_to[65536];
static uint8_t waiting[65536];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int open_socket(const struct options *options)
{
	int on = 1, room = 4 << 20, sock = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	if (sock < 0)
		fail("socket (is net.ipv4.ping_group_range open?)");
	setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	if (setsockopt(sock, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on))
		fail("SO_TIMESTAMPNS");
	/* What a prober has to ask for too: the hop limit of each reply, and the errors of routers. */
	if (setsockopt(sock, IPPROTO_IP, IP_RECVTTL, &on, sizeof on) || setsockopt(sock, IPPROTO_IP, IP_RECVERR, &on, sizeof on))
		fail("IP_RECVTTL, IP_RECVERR");
	int discovery = IP_PMTUDISC_DO;
	if (options->dont_fragment && setsockopt(sock, IPPROTO_IP, IP_MTU_DISCOVER, &discovery, sizeof discovery))
		fail("IP_MTU_DISCOVER");
	/* The kernel turns stamping on a moment later; the first stamps would be those of reading. */
	usleep(2000);
	return sock;
}

static void prepare(const struct options *options)
{
	for (unsigned i = 0; i < options->batch; i++) {
		requests[i].type = 8;
		for (unsigned j = 0; j < options->payload; j++)
			requests[i].payload[j] = (uint8_t)j;
		destinations[i].sin_family = AF_INET;
		out_vectors[i] = (struct iovec){ &requests[i], HEADER + options->payload };
		in_vectors[i] = (struct iovec){ &replies[i], sizeof replies[i] };
		out[i].msg_hdr = (struct msghdr){ .msg_name = &destinations[i], .msg_namelen = sizeof destinations[i],
						  .msg_iov = &out_vectors[i], .msg_iovlen = 1 };
		in[i].msg_hdr = (struct msghdr){ .msg_name = &sources[i], .msg_iov = &in_vectors[i], .msg_iovlen = 1,
						 .msg_control = controls[i] };
	}
}

static unsigned send_batch(int sock, uint32_t host, unsigned count, uint16_t sequence)
{
	unsigned done = 0;
	for (unsigned i = 0; i < count; i++) {
		requests[i].sequence = htons(sequence + i);
		destinations[i].sin_addr.s_addr = sent_to[(uint16_t)(sequence + i)] = htonl(0x7f000001u + host + i);
	}
	int64_t begin = clock_ns(CLOCK_REALTIME);
	while (done < count) {
		int now = sendmmsg(sock, out + done, count - done, 0);
		if (now < 0 && errno != ENOBUFS && errno != EAGAIN)
			fail("sendmmsg");
		done += now > 0 ? now : 0;
	}
	int64_t step = (clock_ns(CLOCK_REALTIME) - begin) / count;
	for (unsigned i = 0; i < count; i++) {
		sent_at[(uint16_t)(sequence + i)] = begin + i * step;
		waiting[(uint16_t)(sequence + i)] = 1;
	}
	return count;
}

static int64_t stamp_of(struct msghdr *message)
{
	for (struct cmsghdr *item = CMSG_FIRSTHDR(message); item; item = CMSG_NXTHDR(message, item))
		if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SO_TIMESTAMPNS) {
			struct timespec stamp;
			memcpy(&stamp, CMSG_DATA(item), sizeof stamp);
			return stamp.tv_sec * 1000000000LL + stamp.tv_nsec;
		}
	return 0;
}

static unsigned account(const struct options *options, unsigned i, struct result *result)
{
	uint16_t sequence = ntohs(replies[i].sequence);
	if (in[i].msg_len != HEADER + options->payload || replies[i].type || replies[i].code || !waiting[sequence] ||
	    sources[i].sin_addr.s_addr != sent_to[sequence] ||
	    memcmp(replies[i].payload, requests[0].payload, options->payload)) {
		result->strange++;
		return 0;
	}
	waiting[sequence] = 0;
	int64_t round_trip = stamp_of(&in[i].msg_hdr) - sent_at[sequence];
	if (round_trip < result->least)
		result->least = round_trip;
	if (round_trip > result->most)
		result->most = round_trip;
	result->sum += round_trip;
	result->received++;
	return 1;
}

static unsigned receive_batch(int sock, const struct options *options, struct result *result)
{
	unsigned matched = 0;
	for (unsigned i = 0; i < options->batch; i++) {
		in[i].msg_hdr.msg_namelen = sizeof sources[i];
		in[i].msg_hdr.msg_controllen = CONTROL;
	}
	int count = recvmmsg(sock, in, options->batch, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		matched += account(options, i, result);
	return matched;
}

static void collect(int sock, const struct options *options, unsigned expected, struct result *result)
{
	int64_t deadline = clock_ns(CLOCK_MONOTONIC) + options->timeout_ms * 1000000LL;
	struct pollfd readable = { .fd = sock, .events = POLLIN };
	for (;;) {
		unsigned matched = receive_batch(sock, options, result);
		expected -= matched;
		if (!expected || clock_ns(CLOCK_MONOTONIC) > deadline)
			return;
		if (!matched)
			poll(&readable, 1, 1);
	}
}

static void blast(const struct options *options, unsigned first, unsigned hosts, struct result *result)
{
	uint16_t sequence = 0;
	int sock = open_socket(options);
	prepare(options);
	for (unsigned round = 0; round < options->rounds; round++)
		for (unsigned host = 0; host < hosts;) {
			unsigned count = hosts - host < options->batch ? hosts - host : options->batch;
			result->sent += send_batch(sock, first + host, count, sequence);
			collect(sock, options, count, result);
			sequence += count;
			host += count;
		}
	close(sock);
}

static void pin(unsigned index)
{
	cpu_set_t allowed, one;
	sched_getaffinity(0, sizeof allowed, &allowed);
	if (index >= (unsigned)CPU_COUNT(&allowed))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && !index--) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			sched_setaffinity(0, sizeof one, &one);
			return;
		}
}

static void run_processes(const struct options *options, struct result *results)
{
	unsigned share = options->hosts / options->processes;
	for (unsigned i = 0; i < options->processes; i++) {
		unsigned hosts = i + 1 < options->processes ? share : options->hosts - share * i;
		if (options->processes == 1) {
			blast(options, 0, hosts, results);
		} else if (!fork()) {
			pin(i);
			blast(options, i * share, hosts, results + i);
			_exit(0);
		}
	}
	for (int status; wait(&status) > 0;)
		if (status)
			exit(1);
}

static double cpu_seconds(int whose)
{
	struct rusage usage;
	getrusage(whose, &usage);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void print(const struct options *options, const struct result *results, double seconds)
{
	struct result all = results[0];
	for (unsigned i = 1; i < options->processes; i++) {
		all.sent += results[i].sent;
		all.received += results[i].received;
		all.strange += results[i].strange;
		all.sum += results[i].sum;
		all.least = results[i].least < all.least ? results[i].least : all.least;
		all.most = results[i].most > all.most ? results[i].most : all.most;
	}
	printf("{\"sent\": %ju, \"received\": %ju, \"strange\": %ju, \"seconds\": %.6f, \"round_trips_per_second\": %.0f, "
	       "\"cpu_seconds\": %.6f, \"rtt_min_ns\": %jd, \"rtt_mean_ns\": %jd, \"rtt_max_ns\": %jd}\n",
	       all.sent, all.received, all.strange, seconds, all.received / seconds,
	       cpu_seconds(RUSAGE_SELF) + cpu_seconds(RUSAGE_CHILDREN), all.least,
	       all.received ? all.sum / (int64_t)all.received : 0, all.most);
}

static struct options read_options(int argc, char **argv)
{
	struct options options = { 65536, 256, 56, 1, 1, 1000, 0 };
	for (int option; (option = getopt(argc, argv, "n:b:s:j:r:t:d")) != -1;) {
		unsigned value = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;
		switch (option) {
		case 'n': options.hosts = value; break;
		case 'b': options.batch = value; break;
		case 's': options.payload = value; break;
		case 'j': options.processes = value; break;
		case 'r': options.rounds = value; break;
		case 't': options.timeout_ms = value; break;
		case 'd': options.dont_fragment = 1; break;
		default: exit(2);
		}
	}
	if (!options.hosts || !options.batch || options.batch > LARGEST_BATCH || options.payload > LARGEST_PAYLOAD ||
	    !options.processes || !options.rounds) {
		fprintf(stderr, "pingblast: an option is out of its range\n");
		exit(2);
	}
	return options;
}

int main(int argc, char **argv)
{
	struct options options = read_options(argc, argv);
	size_t size = options.processes * sizeof(struct result);
	struct result *results = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		fail("mmap");
	for (unsigned i = 0; i < options.processes; i++)
		results[i].least = INT64_MAX;
	int64_t begin = clock_ns(CLOCK_MONOTONIC);
	run_processes(&options, results);
	print(&options, results, (clock_ns(CLOCK_MONOTONIC) - begin) / 1e9);
	return 0;
}
