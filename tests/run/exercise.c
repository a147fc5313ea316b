/*
 * Uses ping sockets in every way a program may, and prints what each call said. What is printed must not depend on who
 * executes the calls. Needs the network of cli/ping_network.py: 10.77.2.2 and fd77:2::2 answer, 10.77.1.1 is between.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *LOCAL = "127.0.0.1", *FAR = "10.77.2.2", *UNREACHABLE = "10.77.3.1";

static void say(const char *what, long result)
{
    if (result < 0)
        printf("  %s: %s\n", what, strerrorname_np(errno));
    else
        printf("  %s: %ld\n", what, result);
    fflush(stdout);
}

static struct sockaddr_in v4(const char *text, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, text, &address.sin_addr);
    return address;
}

static struct sockaddr_in6 v6(const char *text)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6};
    inet_pton(AF_INET6, text, &address.sin6_addr);
    return address;
}

static int open4(int flags) { return socket(AF_INET, SOCK_DGRAM | flags, IPPROTO_ICMP); }

static void on(int fd, int level, int option)
{
    int one = 1;
    if (setsockopt(fd, level, option, &one, sizeof one))
        say("setsockopt", -1);
}

static long echo(int fd, const char *host, int number, int size)
{
    char message[2048] = {8, 0, 0, 0, 0, 0, 0, (char)number};
    struct sockaddr_in address = v4(host, 0);
    memset(message + 8, 'x', sizeof message - 8);
    return sendto(fd, message, size, 0, (struct sockaddr *)&address, sizeof address);
}

static short polled(int fd, short events, int wait)
{
    struct pollfd one = {.fd = fd, .events = events};
    poll(&one, 1, wait);
    return one.revents;
}

static void say_poll(const char *what, int fd, int wait)
{
    short events = polled(fd, POLLIN | POLLPRI | POLLOUT | POLLRDHUP, 0);
    if (wait && !(events & (POLLIN | POLLERR)))
        polled(fd, POLLIN, 2000), events = polled(fd, POLLIN | POLLPRI | POLLOUT | POLLRDHUP, 0);
    printf("  poll, %s:%s%s%s%s%s%s\n", what, events & POLLIN ? " IN" : "", events & POLLPRI ? " PRI" : "",
           events & POLLOUT ? " OUT" : "", events & POLLERR ? " ERR" : "", events & POLLHUP ? " HUP" : "",
           events & POLLRDHUP ? " RDHUP" : "");
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

/* Whatever recvmsg tells, with control messages but for what they measure. */
static long receive(const char *what, int fd, int size, int control_size, int flags)
{
    char data[4096], control[1024];
    struct sockaddr_storage name;
    struct iovec parts[2] = {{data, size < 8 ? size : 8}, {data + 8, size < 8 ? 0 : size - 8}};
    struct msghdr header = {&name, sizeof name, parts, 2, control_size ? control : NULL, control_size, 0};
    long got = recvmsg(fd, &header, flags);
    say(what, got);
    if (got < 0)
        return got;
    char text[64] = "-";
    if (header.msg_namelen >= sizeof(struct sockaddr_in))
        inet_ntop(name.ss_family, name.ss_family == AF_INET ? (void *)&((struct sockaddr_in *)&name)->sin_addr
                                                            : (void *)&((struct sockaddr_in6 *)&name)->sin6_addr,
                  text, sizeof text);
    printf("    from %s (%u bytes) flags %x control %zu type %d number %d\n", text, header.msg_namelen,
           header.msg_flags, header.msg_controllen, got ? data[0] & 255 : -1, got > 7 ? data[7] : -1);
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&header); item; item = CMSG_NXTHDR(&header, item)) {
        printf("    item %d %d length %zu", item->cmsg_level, item->cmsg_type, item->cmsg_len);
        if ((item->cmsg_level == SOL_IP && item->cmsg_type == IP_RECVERR) ||
            (item->cmsg_level == SOL_IPV6 && item->cmsg_type == IPV6_RECVERR)) {
            struct sock_extended_err *error = (void *)CMSG_DATA(item);
            printf(": errno %d origin %d type %d code %d info %u", error->ee_errno, error->ee_origin, error->ee_type,
                   error->ee_code, error->ee_info);
        } else if (item->cmsg_level != SOL_SOCKET && item->cmsg_len >= CMSG_LEN(4)) {
            printf(": %d", *(int *)CMSG_DATA(item));
        }
        printf("\n");
    }
    return got;
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;
    if (getsockopt(fd, level, name, &value, &size))
        return -errno;
    return value;
}

/* --- */

static void creation(void)
{
    int fd = open4(SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct stat status;
    fstat(fd, &status);
    printf("  socket %d flags %x %x type %d protocol %d domain %d reuse %d error %d\n", S_ISSOCK(status.st_mode),
           fcntl(fd, F_GETFL), fcntl(fd, F_GETFD), option(fd, SOL_SOCKET, SO_TYPE), option(fd, SOL_SOCKET, SO_PROTOCOL),
           option(fd, SOL_SOCKET, SO_DOMAIN), option(fd, SOL_SOCKET, SO_REUSEADDR), option(fd, SOL_SOCKET, SO_ERROR));
    say("recv", recv(fd, &status, 10, 0));
    close(fd);
    say("wrong protocol", socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMPV6));
    say("wrong type", socket(AF_INET, SOCK_STREAM, IPPROTO_ICMP));
    say("wrong flag", socket(AF_INET, SOCK_DGRAM | 0x10, IPPROTO_ICMP));
    say("closed", recv(fd, &status, 10, MSG_DONTWAIT));
}

static void names(void)
{
    int fd = open4(0);
    struct sockaddr_in address = v4("0.0.0.0", 4321), other = v4(FAR, 7);
    socklen_t size = 6;
    say("bind", bind(fd, (void *)&address, sizeof address));
    say("bind again", bind(fd, (void *)&address, sizeof address));
    say("short bind", bind(fd, (void *)&address, 3));
    say("getpeername", getpeername(fd, (void *)&address, &size));
    memset(&address, 0, sizeof address);
    say("getsockname, cut", getsockname(fd, (void *)&address, &size));
    printf("  %d %s %u\n", ntohs(address.sin_port), inet_ntoa(address.sin_addr), size);
    say("connect", connect(fd, (void *)&other, sizeof other));
    say("getpeername", getpeername(fd, (void *)&address, &size));
    printf("  %d %s\n", ntohs(address.sin_port), inet_ntoa(address.sin_addr));
    size = -1;
    say("negative size", getsockname(fd, (void *)&address, &size));
    say("listen", listen(fd, 1));
    say("accept", accept(fd, NULL, NULL));
    say("accept4", accept4(fd, NULL, NULL, 0));
    close(fd);
    fd = open4(0);
    address = v4("0.0.0.0", 4321);
    say("bind what was closed", bind(fd, (void *)&address, sizeof address));
    close(fd);
}

static void messages(void)
{
    int fd = open4(0);
    on(fd, SOL_IP, IP_RECVTTL), on(fd, SOL_SOCKET, SO_TIMESTAMP), on(fd, SOL_IP, IP_PKTINFO);
    say("sendto", echo(fd, LOCAL, 1, 64));
    receive("peek", fd, 2048, 512, MSG_PEEK);
    receive("recvmsg", fd, 2048, 512, 0);
    echo(fd, LOCAL, 2, 64);
    receive("little room", fd, 20, 512, 0);
    echo(fd, LOCAL, 3, 64);
    receive("little room, MSG_TRUNC", fd, 20, 512, MSG_TRUNC);
    for (int room = 8; room < 72; room += 12)
        echo(fd, LOCAL, 4, 64), receive("little room for control", fd, 100, room, 0);
    echo(fd, LOCAL, 5, 64);
    receive("no room for control", fd, 100, 0, 0);
    char byte;
    struct sockaddr_in name;
    socklen_t size = sizeof name;
    echo(fd, LOCAL, 6, 64);
    say("recvfrom", recvfrom(fd, &byte, 1, 0, (void *)&name, &size));
    printf("  %s %d %u\n", inet_ntoa(name.sin_addr), name.sin_port, size);
    say("large", echo(fd, LOCAL, 7, 2000));
    receive("large", fd, 4000, 512, 0);
    say("too short", echo(fd, LOCAL, 7, 7));
    say("nowhere", echo(fd, "10.77.7.1", 7, 64));
    say("not connected", send(fd, "\10\0\0\0\0\0\0\1", 8, 0));
    close(fd);
}

static void control_of_sends(void)
{
    int fd = open4(0), ttl = 1;
    char control[CMSG_SPACE(4)] = {0}, data[16] = {8};
    struct sockaddr_in address = v4(FAR, 0);
    struct iovec parts[3] = {{data, 1}, {data + 1, 1}, {data + 2, 14}};
    struct msghdr header = {&address, sizeof address, parts, 3, control, sizeof control, 0};
    struct cmsghdr *item = CMSG_FIRSTHDR(&header);
    *item = (struct cmsghdr){CMSG_LEN(4), SOL_IP, IP_TTL};
    memcpy(CMSG_DATA(item), &ttl, 4);
    on(fd, SOL_IP, IP_RECVERR);
    say("sendmsg", sendmsg(fd, &header, 0));
    say_poll("its error", fd, 1);
    say("send fails once", echo(fd, LOCAL, 1, 64));
    receive("its error", fd, 100, 512, MSG_ERRQUEUE);
    item->cmsg_len = 7;
    say("bad length", sendmsg(fd, &header, 0));
    item->cmsg_len = CMSG_LEN(4), item->cmsg_type = 99;
    say("bad type", sendmsg(fd, &header, 0));
    header.msg_iovlen = 5000;
    say("too many parts", sendmsg(fd, &header, 0));
    close(fd);
}

static void errors(void)
{
    int fd = open4(0);
    char data[100];
    on(fd, SOL_IP, IP_RECVERR);
    say("empty queue", recv(fd, data, 100, MSG_ERRQUEUE));
    echo(fd, UNREACHABLE, 1, 64);
    say_poll("error", fd, 1);
    receive("pending", fd, 100, 512, 0);
    say_poll("queue", fd, 0);
    on(fd, SOL_SOCKET, 45 /* SO_SELECT_ERR_QUEUE */);
    say_poll("queue as priority", fd, 0);
    echo(fd, LOCAL, 2, 64), usleep(50000);
    say_poll("queue and data", fd, 0);
    receive("error", fd, 100, 512, MSG_ERRQUEUE);
    say_poll("data", fd, 0);
    receive("data", fd, 100, 512, 0);
    say_poll("nothing", fd, 0);
    printf("  SO_ERROR %d\n", option(fd, SOL_SOCKET, SO_ERROR));
    close(fd);
}

static void readiness(void)
{
    int fd = open4(0), set = epoll_create1(0);
    struct epoll_event event = {EPOLLIN | EPOLLET, {0}}, got;
    char data[100];
    fd_set readable;
    struct timeval second = {2, 0};
    say_poll("new", fd, 0);
    epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    say("epoll", epoll_wait(set, &got, 1, 0));
    echo(fd, FAR, 1, 64);
    FD_ZERO(&readable);
    FD_SET(fd, &readable);
    say("select", select(fd + 1, &readable, NULL, NULL, &second));
    say_poll("data", fd, 1);
    say("epoll", epoll_wait(set, &got, 1, 0));
    say("epoll, no new edge", epoll_wait(set, &got, 1, 0));
    say("recv", recv(fd, data, 100, 0));
    say("recv", recv(fd, data, 100, MSG_DONTWAIT));
    say_poll("nothing", fd, 0);
    echo(fd, LOCAL, 1, 64), say_poll("data", fd, 1);
    say("epoll, a new edge", epoll_wait(set, &got, 1, 2000));
    close(set), close(fd);
}

static void nonblocking(void)
{
    int fd = open4(0), one = 1;
    char data[100];
    fcntl(fd, F_SETFL, O_NONBLOCK);
    printf("  flags %x\n", fcntl(fd, F_GETFL));
    say("recv", recv(fd, data, 100, 0));
    fcntl(fd, F_SETFL, 0);
    say("MSG_DONTWAIT", recv(fd, data, 100, MSG_DONTWAIT));
    ioctl(fd, FIONBIO, &one);
    printf("  flags %x\n", fcntl(fd, F_GETFL));
    say("read", read(fd, data, 100));
    close(fd);
}

static void timeouts(void)
{
    int fd = open4(0);
    struct timeval little = {0, 60000}, got;
    socklen_t size = sizeof got;
    char data[100];
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &little, sizeof little);
    getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &got, &size);
    printf("  %ld %ld %u\n", got.tv_sec, got.tv_usec, size);
    double begin = seconds();
    say("recv", recv(fd, data, 100, 0));
    printf("  waited %s\n", seconds() - begin < 0.055 ? "too short" : seconds() - begin > 1 ? "too long" : "rightly");
    echo(fd, FAR, 1, 64);
    say("recv", recv(fd, data, 100, 0));
    close(fd);
}

static volatile int alarms;
static int alarm_socket = -1;
static void on_alarm(int number)
{
    (void)number;
    alarms++;
    if (alarm_socket >= 0)
        echo(alarm_socket, LOCAL, 9, 64);
}

static void interrupted(const char *what, int flags, int timeout, int sends)
{
    int fd = open4(0);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
    struct itimerval soon = {{0, 0}, {0, 60000}};
    struct timeval limit = {timeout, 0};
    char data[100];
    sigaction(SIGALRM, &action, NULL);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    alarms = 0, alarm_socket = sends ? fd : -1;
    setitimer(ITIMER_REAL, &soon, NULL);
    say(what, recv(fd, data, 100, 0));
    printf("  alarms %d\n", alarms);
    alarm_socket = -1;
    close(fd);
}

static void signals(void)
{
    interrupted("recv, interrupted", 0, 0, 0);
    interrupted("recv, restarted, the handler sends", SA_RESTART, 0, 1);
    interrupted("recv with timeout, never restarted", SA_RESTART, 10, 0);
}

/* Signals all the time: nothing may get lost, nothing may be sent twice. */
static void storm_of(int flags)
{
    int fd = open4(0), sent = 0, received = 0, twice = 0, retried = 0;
    unsigned char seen[256] = {0};
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
    struct itimerval often = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int number = 0; number < 256; number++) {
        while (echo(fd, LOCAL, number, 64) < 0 && errno == EINTR)
            retried++;
        sent++;
        unsigned char data[100];
        long got;
        while ((got = recv(fd, data, sizeof data, 0)) < 0 && errno == EINTR)
            retried++;
        if (got == 64) {
            received++;
            twice += seen[data[7]]++;
        }
    }
    setitimer(ITIMER_REAL, &never, NULL);
    printf("  sent %d received %d twice %d left %ld\n", sent, received, twice, recv(fd, seen, 1, MSG_DONTWAIT));
    close(fd);
}

static void storm(void)
{
    storm_of(SA_RESTART);
}

static void squalls(void)
{
    storm_of(0);
}

static sigjmp_buf before;

static void on_alarm_leave(int number)
{
    (void)number;
    siglongjmp(before, 1);
}

/* recv, but at most so many milliseconds; -1: the time is over. */
static long receive_until(int fd, char *data, int milliseconds)
{
    struct itimerval limit = {{0, 0}, {0, milliseconds * 1000}}, never = {{0, 0}, {0, 0}};
    if (sigsetjmp(before, 1))
        return -1;
    setitimer(ITIMER_REAL, &limit, NULL);
    long got = recv(fd, data, 100, 0);
    setitimer(ITIMER_REAL, &never, NULL);
    return got;
}

/* A handler that does not return ends the call for good: later ones by the same registers are calls of their own. */
static void jumps(void)
{
    int fd = open4(0), wrong = 0;
    static char data[100];
    struct sigaction action = {.sa_handler = on_alarm_leave, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    for (int round = 0; round < 10; round++) {
        wrong += receive_until(fd, data, 10) != -1;
        echo(fd, LOCAL, 2 * round, 64), echo(fd, LOCAL, 2 * round + 1, 64);
        for (int number = 2 * round; number < 2 * round + 2; number++)
            wrong += receive_until(fd, data, 900) != 64 || data[7] != number;
    }
    printf("  wrong %d left %ld\n", wrong, recv(fd, data, 100, MSG_DONTWAIT));
    close(fd);
}

static int listening;

static void *three_pings(void *wrong)
{
    static char data[100];
    for (int number = 0; number < 3; number++)
        *(int *)wrong += recv(listening, data, sizeof data, 0) != 64 || data[7] != number;
    return NULL;
}

/* A thread has the stack of one that was cancelled in the same call. */
static void stacks(void)
{
    int wrong = 0;
    pthread_t thread;
    listening = open4(0);
    pthread_create(&thread, NULL, three_pings, &wrong);
    usleep(100000);
    pthread_cancel(thread), pthread_join(thread, NULL);
    pthread_create(&thread, NULL, three_pings, &wrong);
    usleep(100000);
    for (int number = 0; number < 3; number++)
        echo(listening, LOCAL, number, 64);
    pthread_join(thread, NULL);
    printf("  wrong %d\n", wrong);
    close(listening);
}

/* What a signal has ended writes nothing any more: its memory is used for something else. */
static void given_up(void)
{
    int fd = open4(0), foreign = 0;
    static char data[2][100];
    static struct sockaddr_in names[2];
    static struct mmsghdr headers[2];
    struct iovec parts[2] = {{data[0], 100}, {data[1], 100}};
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval soon = {{0, 0}, {0, 50000}};
    sigaction(SIGALRM, &action, NULL);
    echo(fd, LOCAL, 1, 64);
    for (int each = 0; each < 2; each++)
        headers[each].msg_hdr = (struct msghdr){&names[each], 100, &parts[each], 1, NULL, 0, 0};
    setitimer(ITIMER_REAL, &soon, NULL);
    recvmmsg(fd, headers, 2, 0, NULL);
    memset(headers, 'x', sizeof headers);
    recv(fd, data, 100, MSG_DONTWAIT);
    for (unsigned each = 0; each < sizeof headers; each++)
        foreign += ((char *)headers)[each] != 'x';
    printf("  foreign bytes %d\n", foreign);
    close(fd);
}

static void *one_ping(void *socket)
{
    long data[16];
    return (void *)recv(*(int *)socket, data, sizeof data, 0);
}

static void *many_pings(void *failures)
{
    int fd = open4(0);
    char data[100];
    for (int number = 0; number < 40; number++)
        if (echo(fd, LOCAL, number, 64) != 64 || recv(fd, data, sizeof data, 0) != 64 || data[7] != (char)number)
            __sync_fetch_and_add((int *)failures, 1);
    close(fd);
    return NULL;
}

static void threads(void)
{
    int fd = open4(0), failures = 0;
    pthread_t thread, others[6];
    void *got;
    echo(fd, LOCAL, 1, 64), one_ping(&fd);
    pthread_create(&thread, NULL, one_ping, &fd);
    for (int each = 0; each < 6; each++)
        pthread_create(&others[each], NULL, many_pings, &failures);
    for (int each = 0; each < 6; each++)
        pthread_join(others[each], NULL);
    printf("  failures %d\n", failures);
    echo(fd, LOCAL, 2, 64);
    pthread_join(thread, &got);
    say("the other thread", (long)got);
    close(fd);
}

static void processes(const char *program)
{
    int fd = open4(0), status, pipes[2];
    char data[100], text[16];
    pid_t child;
    if (!(child = fork())) {
        echo(fd, LOCAL, 1, 64);
        say("child", recv(fd, data, 100, 0));
        _exit(3);
    }
    waitpid(child, &status, 0);
    printf("  child ended %d\n", WEXITSTATUS(status));
    echo(fd, LOCAL, 2, 64);
    say("parent", recv(fd, data, 100, 0));
    snprintf(text, sizeof text, "%d", fd);
    if (!(child = fork()))
        execl(program, program, "inherited", text, NULL);
    waitpid(child, &status, 0);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (!(child = fork()))
        execl(program, program, "inherited", text, NULL);
    waitpid(child, &status, 0);
    pipe(pipes);
    if (!(child = fork())) {
        read(pipes[0], data, 1);
        echo(fd, LOCAL, 3, 64);
        say("child alone", recv(fd, data, 100, 0));
        _exit(0);
    }
    close(fd);
    write(pipes[1], "x", 1);
    waitpid(child, &status, 0);
    say("system", system("exit 5"));
    close(pipes[0]), close(pipes[1]);
}

static int crowd_seen[256];
static void *in_crowd(void *socket)
{
    unsigned char data[100];
    for (;;) {
        long got = recv(*(int *)socket, data, sizeof data, 0);
        if (got == 64 && data[7] == 255)
            return NULL;
        if (got == 64)
            __sync_fetch_and_add(&crowd_seen[data[7]], 1);
    }
}

/* Many threads wait for messages of one socket, and signals interrupt them: each message is had once. */
static void crowd(void)
{
    int fd = open4(0), wrong = 0;
    pthread_t others[5];
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 900}, {0, 900}}, never = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, NULL);
    for (int each = 0; each < 5; each++)
        pthread_create(&others[each], NULL, in_crowd, &fd);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int number = 0; number < 200; number++) {
        pthread_kill(others[number % 5], SIGALRM);
        while (echo(fd, LOCAL, number, 64) < 0 && errno == EINTR)
            ;
        for (int each = 0; each < 5; each++)
            pthread_kill(others[each], SIGALRM);
        for (int turn = 0; turn < 200 && !*(volatile int *)&crowd_seen[number]; turn++)
            usleep(1000);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    for (int each = 0; each < 5; each++)
        echo(fd, LOCAL, 255, 64);
    for (int each = 0; each < 5; each++)
        pthread_join(others[each], NULL);
    for (int number = 0; number < 200; number++)
        wrong += crowd_seen[number] != 1;
    printf("  wrong %d\n", wrong);
    close(fd);
}

static void duplicates(void)
{
    int fd = open4(0), copy = dup(fd), another = fcntl(fd, F_DUPFD_CLOEXEC, 100), over = open4(0);
    char data[100];
    struct sockaddr_in address = v4("0.0.0.0", 4400);
    say("bind", bind(fd, (void *)&address, sizeof address));
    close(fd);
    say("dup", copy >= 0), say("F_DUPFD", another >= 100), say("flags", fcntl(another, F_GETFD));
    echo(copy, LOCAL, 1, 64);
    say("recv of the copy", recv(another, data, 100, 0));
    say("dup2", dup2(copy, over) == over), say("dup2 to itself", dup2(copy, copy) == copy);
    say("dup3 to itself", dup3(copy, copy, 0));
    say("dup3", dup3(copy, another, O_CLOEXEC) == another);
    fcntl(copy, F_SETFL, O_NONBLOCK);
    say("flags are shared", recv(over, data, 100, 0));
    close(copy), close(another);
    echo(over, LOCAL, 2, 64);
    polled(over, POLLIN, 1000);
    say("the last copy", recv(over, data, 100, 0));
    close(over);
    fd = open4(0);
    say("its ident is free", bind(fd, (void *)&address, sizeof address));
    say("F_DUPFD below 0", fcntl(fd, F_DUPFD, -1)), say("F_DUPFD beyond all", fcntl(fd, F_DUPFD, 1 << 30));
    struct rlimit before, lower;
    getrlimit(RLIMIT_NOFILE, &before), lower = before, lower.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &lower);
    say("dup beyond the limit", dup(fd)), say("F_DUPFD", fcntl(fd, F_DUPFD, 0));
    say("dup2", dup2(fd, before.rlim_cur - 1)), say("socket", open4(0));
    setrlimit(RLIMIT_NOFILE, &before);
    close(fd);
}

static void batches(void)
{
    int fd = open4(0);
    char out[6][16] = {{0}}, in[6][64];
    struct sockaddr_in address = v4(LOCAL, 0), from[6];
    struct iovec sent[6], got[6];
    struct mmsghdr headers[6] = {{{0}}};
    struct timespec little = {0, 80000000};
    for (int each = 0; each < 6; each++) {
        out[each][0] = each == 4 ? 77 : 8, out[each][7] = each;
        sent[each] = (struct iovec){out[each], 16};
        headers[each].msg_hdr = (struct msghdr){&address, sizeof address, &sent[each], 1, NULL, 0, 0};
    }
    say("sendmmsg up to a bad one", sendmmsg(fd, headers, 6, 0));
    printf("  lengths %u %u\n", headers[0].msg_len, headers[3].msg_len);
    say("sendmmsg, a bad one", sendmmsg(fd, headers + 4, 2, 0));
    for (int each = 0; each < 6; each++) {
        got[each] = (struct iovec){in[each], 64};
        headers[each].msg_hdr = (struct msghdr){&from[each], sizeof from[each], &got[each], 1, NULL, 0, 0};
    }
    polled(fd, POLLIN, 1000);
    say("recvmmsg, one", recvmmsg(fd, headers, 1, 0, NULL));
    say("recvmmsg, what is there", recvmmsg(fd, headers, 6, MSG_DONTWAIT, NULL));
    printf("  lengths %u %u name %u number %d\n", headers[0].msg_len, headers[2].msg_len, headers[2].msg_hdr.msg_namelen,
           in[2][7]);
    say("recvmmsg, nothing", recvmmsg(fd, headers, 6, MSG_DONTWAIT, NULL));
    echo(fd, LOCAL, 1, 16), echo(fd, LOCAL, 2, 16), polled(fd, POLLIN, 1000);
    say("recvmmsg, MSG_WAITFORONE", recvmmsg(fd, headers, 6, MSG_WAITFORONE, NULL));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0, 50000}, sizeof(struct timeval));
    echo(fd, LOCAL, 3, 16);
    say("recvmmsg, SO_RCVTIMEO", recvmmsg(fd, headers, 6, 0, NULL));
    echo(fd, LOCAL, 3, 16);
    say("recvmmsg, timeout", recvmmsg(fd, headers, 6, 0, &little));
    little.tv_nsec = -1;
    say("recvmmsg, bad timeout", recvmmsg(fd, headers, 6, 0, &little));
    close(fd);
}

static void ends(void)
{
    int fd = open4(0);
    char data[100];
    struct sockaddr_in address = v4(LOCAL, 7);
    say("shutdown", shutdown(fd, 7));
    say("shutdown", shutdown(fd, SHUT_RD));
    say_poll("no more reading", fd, 0);
    say("recv", recv(fd, data, 100, 0));
    connect(fd, (void *)&address, sizeof address);
    say("shutdown", shutdown(fd, SHUT_WR));
    say("send", send(fd, "\10\0\0\0\0\0\0\1", 8, 0));
    say_poll("neither", fd, 0);
    close(fd);
}

static void vectors(void)
{
    int fd = open4(0);
    char data[64] = {8};
    struct sockaddr_in address = v4(LOCAL, 7);
    struct iovec parts[2] = {{data, 20}, {data + 20, 44}};
    connect(fd, (void *)&address, sizeof address);
    say("write", write(fd, data, 64));
    say("read", read(fd, data, 64));
    data[0] = 8;
    say("writev", writev(fd, parts, 2));
    say("read nothing", read(fd, data, 0));
    say("readv", readv(fd, parts, 2));
    say("pread", pread(fd, data, 1, 0));
    say("lseek", lseek(fd, 0, SEEK_SET));
    close(fd);
}

static void requests(void)
{
    int fd = open4(0), number = -1;
    struct ifreq interface = {.ifr_name = "lo"};
    say("FIONREAD", ioctl(fd, FIONREAD, &number));
    say("SIOCOUTQ", ioctl(fd, TIOCOUTQ, &number));
    say("SIOCGIFADDR", ioctl(fd, SIOCGIFADDR, &interface));
    printf("  %s\n", inet_ntoa(((struct sockaddr_in *)&interface.ifr_addr)->sin_addr));
    say("SIOCGIFINDEX", ioctl(fd, SIOCGIFINDEX, &interface));
    printf("  %d\n", interface.ifr_ifindex);
    say("SIOCGIFMTU", ioctl(fd, SIOCGIFMTU, &interface));
    strcpy(interface.ifr_name, "nope");
    say("SIOCGIFADDR", ioctl(fd, SIOCGIFADDR, &interface));
    say("unknown", ioctl(fd, 0x1234, &number));
    close(fd);
}

static void bad_memory(void)
{
    int fd = open4(0);
    char *nowhere = (char *)8, data[16] = {8};
    struct sockaddr_in address = v4(LOCAL, 0);
    socklen_t size = sizeof address;
    say("bind", bind(fd, (void *)nowhere, 16));
    say("connect, too long", connect(fd, (void *)&address, 200));
    say("sendto", sendto(fd, nowhere, 64, 0, (void *)&address, sizeof address));
    say("sendto's address", sendto(fd, data, 16, 0, (void *)nowhere, 16));
    say("sendmsg", sendmsg(fd, (void *)nowhere, 0));
    say("recvmsg", recvmsg(fd, (void *)nowhere, MSG_DONTWAIT));
    say("setsockopt", setsockopt(fd, SOL_IP, IP_TTL, nowhere, 4));
    say("setsockopt, negative", setsockopt(fd, SOL_IP, IP_TTL, nowhere, -4));
    say("getsockopt", getsockopt(fd, SOL_IP, IP_TTL, data, (void *)nowhere));
    say("getsockname", getsockname(fd, (void *)nowhere, &size));
    echo(fd, LOCAL, 1, 64), polled(fd, POLLIN, 1000);
    say("recv", recv(fd, nowhere, 64, 0));
    say("recv, it is gone", recv(fd, data, 16, MSG_DONTWAIT));
    close(fd);
}

static void filters(void)
{
    int fd = open4(0);
    char data[64];
    struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0), keep = BPF_STMT(BPF_RET | BPF_K, 0xffff);
    struct sock_fprog program = {1, &drop};
    say("SO_ATTACH_FILTER", setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
    echo(fd, LOCAL, 1, 64), usleep(20000);
    say("dropped", recv(fd, data, 64, MSG_DONTWAIT));
    program.filter = &keep;
    say("SO_ATTACH_FILTER", setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
    echo(fd, LOCAL, 2, 64), polled(fd, POLLIN, 1000);
    say("kept", recv(fd, data, 64, MSG_DONTWAIT));
    struct sock_filter wrong = BPF_STMT(0xffff, 0);
    struct sock_fprog bad[] = {{1, NULL}, {0, &keep}, {0, (void *)8}, {1, (void *)8}, {4096, (void *)8}, {4097, (void *)8},
                               {1, (void *)-4096}, {1, &wrong}};
    for (unsigned each = 0; each < sizeof bad / sizeof *bad; each++)
        say("a bad program", setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &bad[each], sizeof *bad));
    int sizes[] = {0, 3, 4, 8, 15, 17, 24};
    for (unsigned each = 0; each < sizeof sizes / sizeof *sizes; each++)
        say("a bad size", setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizes[each]));
    say("nowhere", setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, (void *)8, sizeof program));
    echo(fd, LOCAL, 3, 64), polled(fd, POLLIN, 1000);
    say("still kept", recv(fd, data, 64, MSG_DONTWAIT));
    for (int bytes = -4096; bytes <= 4096; bytes += 4096)
        say("SO_RESERVE_MEM", setsockopt(fd, SOL_SOCKET, SO_RESERVE_MEM, &bytes, sizeof bytes));
    close(fd);
}

static volatile int inputs;
static void on_input(int number) { (void)number, inputs++; }

static void asynchronous(void)
{
    int fd = open4(0);
    char data[100];
    signal(SIGIO, on_input);
    fcntl(fd, F_SETOWN, getpid());
    fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK);
    echo(fd, FAR, 1, 64);
    for (int turn = 0; turn < 2000 && !inputs; turn++)
        usleep(1000);
    printf("  signalled %d\n", inputs > 0);
    say("recv", recv(fd, data, 100, 0));
    signal(SIGIO, SIG_DFL);
    close(fd);
}

static void other_files(void)
{
    int pipes[2], high = 1000;
    char data[4];
    pipe(pipes);
    say("a pipe's number", dup2(pipes[1], high) == high);
    say("write", write(high, "abc", 3));
    say("read", read(pipes[0], data, 4));
    say("recv", recv(high, data, 1, 0));
    say("FIONREAD", ioctl(high, FIONREAD, data));
    say("fcntl", fcntl(high, F_SETFL, O_NONBLOCK));
    say("dup", dup(high) < 100);
    close(high);
    say("closed", write(high, "abc", 3));
}

static void many(void)
{
    int sockets[60], bad = 0;
    char data[100];
    for (int turn = 0; turn < 2; turn++) {
        for (int each = 0; each < 60; each++)
            sockets[each] = open4(0), bad += echo(sockets[each], LOCAL, each, 64) != 64;
        for (int each = 0; each < 60; each++)
            bad += recv(sockets[each], data, 100, 0) != 64 || data[7] != each, close(sockets[each]);
    }
    printf("  bad %d\n", bad);
}

static void version6(void)
{
    int fd = socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6), hops = 1;
    char request[64] = {(char)128};
    struct sockaddr_in6 address = v6("fd77:2::2"), name;
    socklen_t size = sizeof name;
    on(fd, SOL_IPV6, IPV6_RECVHOPLIMIT), on(fd, SOL_IPV6, IPV6_RECVERR);
    say("sendto", sendto(fd, request, 64, 0, (void *)&address, sizeof address));
    receive("recvmsg", fd, 100, 512, 0);
    setsockopt(fd, SOL_IPV6, IPV6_UNICAST_HOPS, &hops, sizeof hops);
    say("sendto", sendto(fd, request, 64, 0, (void *)&address, sizeof address));
    say_poll("error", fd, 1);
    receive("recvmsg", fd, 100, 512, 0);
    receive("error", fd, 100, 512, MSG_ERRQUEUE);
    say("connect", connect(fd, (void *)&address, sizeof address));
    say("getsockname", getsockname(fd, (void *)&name, &size));
    printf("  %u %d\n", size, name.sin6_addr.s6_addr[15]);
    close(fd);
}

/* Ends the parent process, without which there is nobody to execute the calls. */
static void abandoned(void)
{
    int fd = open4(0);
    char data[100];
    pid_t parent = getppid();
    echo(fd, LOCAL, 1, 64), recv(fd, data, 100, 0);
    if (!fork()) {
        usleep(100000);
        kill(parent, SIGKILL);
        _exit(0);
    }
    say("poll, blocked", polled(fd, POLLIN, 5000));
    say("recv", recv(fd, data, 100, 0));
    say("send", echo(fd, LOCAL, 1, 64));
    say("socket", open4(0));
    close(fd);
    printf("  went on\n");
}

static int inherited(const char *text)
{
    int fd = atoi(text);
    char data[100];
    say("after exec", echo(fd, LOCAL, 5, 64));
    if (fcntl(fd, F_GETFD) >= 0)
        say("after exec", recv(fd, data, 100, 0));
    return 0;
}

#define CASE(name) {#name, name}
static const struct {
    const char *name;
    void (*function)(void);
} CASES[] = {CASE(creation),  CASE(names),    CASE(messages),    CASE(control_of_sends), CASE(errors),
             CASE(readiness), CASE(nonblocking), CASE(timeouts), CASE(signals),          CASE(storm),      CASE(squalls),
             CASE(threads),   CASE(duplicates),  CASE(batches),  CASE(ends),             CASE(vectors),
             CASE(requests),  CASE(bad_memory),  CASE(filters),  CASE(asynchronous),     CASE(other_files),
             CASE(many),      CASE(version6),     CASE(abandoned),   CASE(crowd),            CASE(jumps),
             CASE(given_up),  CASE(stacks)};

static void on_urgent(int number)
{
    (void)number;
}

int main(int count, char **words)
{
    struct sigaction urgent = {.sa_handler = on_urgent, .sa_flags = SA_RESTART};
    sigaction(SIGURG, &urgent, NULL);
    if (count == 3)
        return inherited(words[2]);
    if (!strcmp(words[1], "processes"))
        return processes(words[0]), 0;
    for (unsigned each = 0; each < sizeof CASES / sizeof *CASES; each++)
        if (!strcmp(words[1], CASES[each].name))
            return CASES[each].function(), 0;
    return 1;
}
