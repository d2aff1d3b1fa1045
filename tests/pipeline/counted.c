/* Counts what a process asks of the C library; preloaded by tests/pipeline/test_counters.py (x86-64, glibc).

   malloc and its kin, large ones apart; blocks that are held; bytes of large copies, which are those of pictures and
   tensors; waits for locks. Copies that a compiler has put in line do not come here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <semaphore.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#define LARGE_BLOCK (32 << 10)
#define LARGE_COPY (4 << 10)

enum { ALLOCATIONS, LARGE_ALLOCATIONS, BLOCKS, COPIED, LOCK_WAITS, COUNTERS };
static long counters[COUNTERS];

static void add(int which, long more) { __atomic_fetch_add(&counters[which], more, __ATOMIC_RELAXED); }

__attribute__((visibility("default"))) void read_counters(long *out) {
    for (int i = 0; i < COUNTERS; i++) out[i] = __atomic_load_n(&counters[i], __ATOMIC_RELAXED);
}

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static void *counted(void *block, size_t size) {
    add(ALLOCATIONS, 1);
    if (size >= LARGE_BLOCK) add(LARGE_ALLOCATIONS, 1);
    if (block) add(BLOCKS, 1);
    return block;
}

void *malloc(size_t size) { return counted(__libc_malloc(size), size); }
void *calloc(size_t n, size_t size) { return counted(__libc_calloc(n, size), n * size); }
void *memalign(size_t alignment, size_t size) { return counted(__libc_memalign(alignment, size), size); }
void *realloc(void *old, size_t size) {
    void *block = counted(__libc_realloc(old, size), size);
    if (old) add(BLOCKS, -1); /* it was counted as a new one */
    return block;
}
void free(void *block) {
    if (block) add(BLOCKS, -1);
    __libc_free(block);
}
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void **out, size_t alignment, size_t size) {
    *out = memalign(alignment, size);
    return *out ? 0 : 12; /* ENOMEM */
}

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    void *start = to;
    if (size >= LARGE_COPY) add(COPIED, (long)size);
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
    return start;
}
void *memmove(void *to, const void *from, size_t size) {
    if ((size_t)((char *)to - (const char *)from) >= size) return memcpy(to, from, size);
    if (size >= LARGE_COPY) add(COPIED, (long)size);
    void *start = to;
    const char *last = (const char *)from + size - 1;
    to = (char *)to + size - 1;
    __asm__ volatile("std; rep movsb; cld" : "+D"(to), "+S"(last), "+c"(size) : : "memory");
    return start;
}

/* CPython tries a lock first and comes here only if somebody holds it, or to wait on a condition. */
#define WAIT(name, declared, given)                                           \
    int name declared {                                                       \
        static int (*real) declared;                                          \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                 \
        add(LOCK_WAITS, 1);                                                   \
        return real given;                                                    \
    }
WAIT(sem_wait, (sem_t * s), (s))
WAIT(sem_timedwait, (sem_t * s, const struct timespec *t), (s, t))
WAIT(sem_clockwait, (sem_t * s, clockid_t c, const struct timespec *t), (s, c, t))
