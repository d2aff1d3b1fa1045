/* Counts the instructions that an emulated processor executes, for bench/emulated.py: a plugin of qemu's user mode
 * (https://www.qemu.org/docs/master/devel/tcg-plugins.html). At each system call of the number MARK the count so far
 * goes to the file descriptor that it is given. Each thread has a counter of its own, so that none is lost.
 *
 * What is used of qemu's interface is declared here: distributions do not package its header.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { MARK = 1999, THREADS = 1024, NO_REGISTERS = 0 };

#define EXPORT __attribute__((visibility("default")))
struct qemu_plugin_tb;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*call)(uint64_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*call)(unsigned, void *), int registers,
                                          void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_syscall_cb(uint64_t id,
                                          void (*call)(uint64_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                                                       uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));

EXPORT int qemu_plugin_version = 1;

/* A cache line each. */
static struct {
    uint64_t executed, unused[7];
} counts[THREADS];

static void run(unsigned thread, void *instructions) {
    counts[thread % THREADS].executed += (uint64_t)(uintptr_t)instructions;
}

static void translated(uint64_t id, struct qemu_plugin_tb *block) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, run, NO_REGISTERS, (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

static void called(uint64_t id, unsigned thread, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                   uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
    (void)id, (void)thread, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number != MARK)
        return;
    uint64_t total = 0;
    for (int i = 0; i < THREADS; i++)
        total += counts[i].executed;
    dprintf((int)a, "instructions: %" PRIu64 "\n", total);
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
