/* Which variants this processor runs: asked of the processor itself, once. */
#include "kernels.h"

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#include <cpuid.h>

/* Every processor with AVX2 has it, but a virtual machine may hide it; not all compilers can ask for it by name. */
static int has_f16c(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C;
}
#endif

const kernels_t *const *saccade_variants(void) {
    static const kernels_t *found[5];
    int n = 0;
#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
    __builtin_cpu_init();
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                     __builtin_cpu_supports("bmi2") && has_f16c();
    if (avx2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        found[n++] = &saccade_avx512;
    if (avx2)
        found[n++] = &saccade_avx2;
    if (__builtin_cpu_supports("sse4.2"))
        found[n++] = &saccade_sse42;
#endif
    found[n++] = &saccade_portable;
    found[n] = 0;
    return found;
}
