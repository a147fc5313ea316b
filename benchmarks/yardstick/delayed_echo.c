/* Ten thousand hosts on long paths, as one program: answers every IPv4 echo request that leaves by a TUN device after a
 * delay that depends on its destination alone, and keeps a log of how long each really took.
 *
 *     delayed_echo DEVICE SHORTEST_MS LONGEST_MS LOG
 *
 * Runs until SIGTERM or SIGINT, then writes the log: for each reply 16 bytes, destination address (4, network order),
 * sequence (2, host order), zero (2), nanoseconds from reading the request to writing the reply (8, host order).
 * "ready" on standard output when the device exists.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST = 1600, MOST_WAITING = 1 << 20, MOST_LOGGED = 1 << 22, SPIN = 60000 };

struct waiting {
    uint64_t due, arrived;
    uint8_t *packet;
    uint32_t size;
};

struct entry {
    uint32_t address;
    uint16_t sequence, zero;
    uint64_t took;
};

static struct waiting heap[MOST_WAITING];
static uint32_t waiting_count;
static struct entry *logged;
static uint32_t logged_count;
static volatile sig_atomic_t stopping;

static void stop(int number) { (void)number; stopping = 1; }

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int open_device(const char *name) {
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (device < 0) fail("/dev/net/tun");
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(device, TUNSETIFF, &request) < 0) fail("TUNSETIFF");
    return device;
}

static void push(struct waiting item) {
    uint32_t at = waiting_count++;
    while (at && heap[(at - 1) / 2].due > item.due) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = item;
}

static struct waiting pop(void) {
    struct waiting first = heap[0], last = heap[--waiting_count];
    uint32_t at = 0, child;
    while ((child = 2 * at + 1) < waiting_count) {
        if (child + 1 < waiting_count && heap[child + 1].due < heap[child].due) child++;
        if (heap[child].due >= last.due) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}

/* Knuth's multiplicative hash: neighbours get delays far apart. The same formula stands in bed.py. */
static uint64_t delay_of(uint32_t address, uint64_t shortest, uint64_t longest) {
    return shortest + (uint64_t)(ntohl(address) * 2654435761u) * (longest - shortest) / 4294967296u;
}

static void take(uint8_t *packet, ssize_t size, uint64_t shortest, uint64_t longest) {
    uint32_t header = (packet[0] & 15) * 4u, source, destination, sum;
    uint64_t arrived = now();
    if (packet[0] >> 4 != 4 || packet[9] != 1 || size < (ssize_t)header + 8 || packet[header] != 8) return;
    if (waiting_count == MOST_WAITING) return;
    memcpy(&source, packet + 12, 4);
    memcpy(&destination, packet + 16, 4);
    memcpy(packet + 12, &destination, 4);
    memcpy(packet + 16, &source, 4);
    packet[header] = 0;
    sum = (uint32_t)(packet[header + 2] << 8 | packet[header + 3]) + 0x0800; /* RFC 1624 */
    sum = (sum & 0xFFFF) + (sum >> 16);
    packet[header + 2] = (uint8_t)(sum >> 8);
    packet[header + 3] = (uint8_t)sum;
    uint8_t *copy = malloc((size_t)size);
    if (!copy) fail("malloc");
    memcpy(copy, packet, (size_t)size);
    push((struct waiting){arrived + delay_of(destination, shortest, longest), arrived, copy, (uint32_t)size});
}

static void answer(int device) {
    struct waiting item = pop();
    uint32_t header = (item.packet[0] & 15) * 4u;
    if (write(device, item.packet, item.size) == (ssize_t)item.size && logged_count < MOST_LOGGED) {
        struct entry *entry = &logged[logged_count++];
        memcpy(&entry->address, item.packet + 12, 4);
        entry->sequence = (uint16_t)(item.packet[header + 6] << 8 | item.packet[header + 7]);
        entry->took = now() - item.arrived;
    }
    free(item.packet);
}

static void wait_for_work(int device) {
    struct pollfd readable = {.fd = device, .events = POLLIN};
    struct timespec patience = {1, 0};
    if (waiting_count) {
        uint64_t time = now(), due = heap[0].due;
        uint64_t left = due > time + SPIN ? due - time - SPIN : 0;
        patience = (struct timespec){(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    }
    ppoll(&readable, 1, &patience, NULL);
}

int main(int count, char **arguments) {
    static uint8_t packet[LARGEST];
    ssize_t size;
    if (count != 5) {
        fprintf(stderr, "usage: delayed_echo DEVICE SHORTEST_MS LONGEST_MS LOG\n");
        return 2;
    }
    uint64_t shortest = strtoull(arguments[2], NULL, 10) * 1000000u, longest = strtoull(arguments[3], NULL, 10) * 1000000u;
    logged = calloc(MOST_LOGGED, sizeof *logged);
    if (!logged) fail("calloc");
    int device = open_device(arguments[1]);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    puts("ready");
    fflush(stdout);
    while (!stopping) {
        wait_for_work(device);
        while ((size = read(device, packet, sizeof packet)) > 0) take(packet, size, shortest, longest);
        while (waiting_count && heap[0].due <= now()) answer(device);
    }
    FILE *file = fopen(arguments[4], "wb");
    if (!file || fwrite(logged, sizeof *logged, logged_count, file) != logged_count || fclose(file)) fail(arguments[4]);
    return 0;
}
