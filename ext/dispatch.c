/* Which variants this processor runs: asked of the processor itself, once. */
#include "kernels.h"

const kernels_t *const *saccade_variants(void) {
    static const kernels_t *found[5];
    int n = 0;
#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        found[n++] = &saccade_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"))
        found[n++] = &saccade_avx2;
    if (__builtin_cpu_supports("sse4.2"))
        found[n++] = &saccade_sse42;
#endif
    found[n++] = &saccade_portable;
    found[n] = 0;
    return found;
}
