/* For x86-64-v2: SSE4.2, 16-byte vectors. What the Atoms of small cameras have. */
#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#include "kernels.h"
#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("sse4.2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("sse4.2")
#endif
#define VARIANT sse42
#define VECTOR_LANES 1
#include "variant.inc.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int saccade_no_sse42;
#endif
