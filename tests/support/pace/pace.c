/* A clock for one program, loaded in front of the C library (LD_PRELOAD): it runs `speed` times as fast as
 * the host's and is `skew` off, by a page that a test writes and this reads at every call. Times that the
 * program waits for are as much shorter. Built by mod.rs beside this file, for tests alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

/* Nanoseconds, but for the speed. `loaded` is how a test sees that somebody reads the page. */
struct page { int64_t base, speed, skew, loaded; };

static volatile struct page *page;
static int (*real_clock)(clockid_t, struct timespec *);
static long (*real_syscall)(long, ...);
static int (*real_epoll)(int, struct epoll_event *, int, int);

static void give_up(const char *what) {
    fprintf(stderr, "pace: %s\n", what);
    _exit(70);
}

static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) give_up(name);
    return found;
}

__attribute__((constructor)) static void begin(void) {
    if (page) return;
    real_clock = next("clock_gettime");
    real_syscall = next("syscall");
    real_epoll = next("epoll_wait");
    const char *path = getenv("PACE_FILE");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) give_up("PACE_FILE cannot be opened");
    void *mapped = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) give_up("PACE_FILE cannot be mapped");
    close(file);
    page = mapped;
    page->loaded = 1;
}

static int64_t in_all(const struct timespec *at) { return at->tv_sec * SECOND + at->tv_nsec; }

static struct timespec split(int64_t all) {
    return (struct timespec) { .tv_sec = all / SECOND, .tv_nsec = all % SECOND };
}

int clock_gettime(clockid_t which, struct timespec *at) {
    begin();
    int failed = real_clock(which, at);
    if (failed) return failed;
    switch (which) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        *at = split(page->base + (in_all(at) - page->base) * page->speed + page->skew);
        break;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_BOOTTIME:
        *at = split(in_all(at) * page->speed);
        break;
    default: /* Time on the processor stays what it is. */
        break;
    }
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void) zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *at = (struct timeval) { .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
    return 0;
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int milliseconds) {
    begin();
    /* Rounded up: whoever wakes too early looks at the clock and sleeps again. */
    int shorter = milliseconds > 0 ? (int) ((milliseconds + page->speed - 1) / page->speed) : milliseconds;
    return real_epoll(epoll, events, most, shorter);
}

int clock_nanosleep(clockid_t which, int flags, const struct timespec *span, struct timespec *left) {
    begin();
    static int (*real)(clockid_t, int, const struct timespec *, struct timespec *);
    if (!real) real = next("clock_nanosleep");
    struct timespec shorter = split(in_all(span) / page->speed);
    if (flags & TIMER_ABSTIME && which == CLOCK_REALTIME)
        shorter = split(page->base + (in_all(span) - page->skew - page->base) / page->speed);
    return real(which, flags, &shorter, left);
}

int nanosleep(const struct timespec *span, struct timespec *left) {
    begin();
    static int (*real)(const struct timespec *, struct timespec *);
    if (!real) real = next("nanosleep");
    struct timespec shorter = split(in_all(span) / page->speed);
    return real(&shorter, left);
}

/* Rust's condition variables wait by the bare system call, until a moment of the monotonic clock. */
long syscall(long number, ...) {
    begin();
    long given[6];
    va_list all;
    va_start(all, number);
    for (int index = 0; index < 6; index++) given[index] = va_arg(all, long);
    va_end(all);
    struct timespec shorter;
    const struct timespec *until = (const struct timespec *) given[3];
    int waits = (given[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET && !(given[1] & FUTEX_CLOCK_REALTIME);
    if (number == SYS_futex && waits && until) {
        shorter = split(in_all(until) / page->speed);
        given[3] = (long) &shorter;
    }
    return real_syscall(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
