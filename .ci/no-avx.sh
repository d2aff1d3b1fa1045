#!/usr/bin/env sh
# Tests of kernels, capture and runner on an emulated Goldmont-class Atom, which has SSE4.2 and no AVX, and a control
# that shows that the emulator does refuse AVX: sh .ci/no-avx.sh [pytest arguments]
set -eu
cd "$(dirname "$0")/.."
command -v qemu-x86_64 >/dev/null || { echo "qemu-x86_64 is missing: apt-get install qemu-user" >&2; exit 1; }
# Without the features that the emulator lacks and would warn of, in each process, on standard error.
cpu=Denverton,-x2apic,-tsc-deadline,-rdseed,-sha-ni,-spec-ctrl,-arch-capabilities,-ssbd,-3dnowprefetch,-xsavec
cpu=$cpu,-rdctl-no,-skip-l1dfl-vmentry
atom() { qemu-x86_64 -cpu "$cpu" "$@"; }

mkdir -p build/no-avx
cat >build/no-avx/control.c <<'C'
#include <immintrin.h>
#include <stdio.h>
__attribute__((target("avx"))) static float twice(float x) {
    float all[8];
    _mm256_storeu_ps(all, _mm256_add_ps(_mm256_set1_ps(x), _mm256_set1_ps(x)));
    return all[3];
}
int main(int argc, char **argv) {
    (void)argv;
    printf("%g\n", argc > 1 ? twice((float)argc) : 1.0f);
    return 0;
}
C
cc -O1 build/no-avx/control.c -o build/no-avx/control
atom build/no-avx/control >/dev/null || { echo "the emulator does not run" >&2; exit 1; }
status=0
atom build/no-avx/control avx >/dev/null 2>&1 || status=$?
test "$status" -eq 132 || { echo "the emulator ran an AVX instruction (status $status): it proves nothing" >&2; exit 1; }
echo "control: an AVX instruction dies with SIGILL on the emulated Atom"

atom .venv/bin/python -c '
from saccade.kernels import variant
assert variant() == "sse42", variant()
print("kernels:", variant())'

export SACCADE_EXAMPLES="${SACCADE_EXAMPLES:-25}" SACCADE_EMULATED=1
emulated() { atom .venv/bin/python -m pytest -q -p no:cacheprovider -m "not slow and not browser" "$@"; }
if [ $# -gt 0 ]; then
    emulated "$@"
    exit
fi
# One emulator runs on one core: two halves side by side. All networks of the corpus are tried, where it is.
(emulated tests/kernels && emulated tests/networks/test_lifeboat.py -m "") >build/no-avx/kernels.log 2>&1 &
kernels=$!
status=0
emulated tests/capture tests/networks/test_runner.py || status=1
wait "$kernels" || status=1
cat build/no-avx/kernels.log
.venv/bin/python -m bench.emulated --check || status=1
exit "$status"
