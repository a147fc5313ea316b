/*
 * What system calls cost: on a ping socket, and on other descriptors. Prints "name nanoseconds", the least of some
 * rounds, for benchmarks/run_calls.py.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 7, FEW = 300, MANY = 200000 };

static double nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e9 + now.tv_nsec;
}

#define MEASURE(name, turns, call)                                                                                     \
    do {                                                                                                               \
        double least = 1e18;                                                                                           \
        for (int round = 0; round < ROUNDS; round++) {                                                                 \
            double begin = nanoseconds();                                                                              \
            for (int turn = 0; turn < (turns); turn++)                                                                 \
                call;                                                                                                  \
            double each = (nanoseconds() - begin) / (turns);                                                           \
            least = each < least ? each : least;                                                                       \
        }                                                                                                              \
        printf("%s %.1f\n", name, least);                                                                              \
    } while (0)

static void round_trip(int sock, struct sockaddr_in *host)
{
    char message[64] = {8};
    if (sendto(sock, message, sizeof message, 0, (struct sockaddr *)host, sizeof *host) < 0 ||
        recv(sock, message, sizeof message, 0) < 0)
        perror("round trip");
}

int main(void)
{
    int sock = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), pipes[2], value;
    struct sockaddr_in host = {.sin_family = AF_INET};
    socklen_t size = sizeof value;
    char byte;
    if (sock < 0 || pipe(pipes))
        return perror("socket"), 1;
    inet_aton("127.0.0.1", &host.sin_addr);
    MEASURE("round-trip", FEW, round_trip(sock, &host));
    MEASURE("getsockopt", FEW, (size = sizeof value, getsockopt(sock, SOL_IP, IP_TTL, &value, &size)));
    MEASURE("recv-nothing", FEW, recv(sock, &byte, 1, MSG_DONTWAIT));
    MEASURE("left-to-kernel", FEW, fcntl(sock, F_GETFL));
    MEASURE("other:getppid", MANY, syscall(SYS_getppid));
    MEASURE("other:write", MANY, (void)!write(pipes[1], &byte, 0));
    MEASURE("other:recvfrom", MANY, recvfrom(pipes[0], &byte, 1, 0, NULL, NULL));
    MEASURE("other:fcntl", MANY, fcntl(pipes[0], F_GETFD));
    MEASURE("other:socket", FEW * 20, close(socket(AF_UNIX, SOCK_STREAM, 0)));
    return 0;
}
