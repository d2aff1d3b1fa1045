/* For processors with AVX-512 F, BW, VL and DQ, 64-byte vectors. */
#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#include "kernels.h"
#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,f16c,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,f16c,bmi,bmi2")
#endif
#define VARIANT avx512
#define VECTOR_LANES 4
#include "variant.inc.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int saccade_no_avx512;
#endif
