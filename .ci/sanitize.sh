#!/usr/bin/env sh
# Kernel tests on two builds of the extension that watch memory, each a copy of the package under build/, so that the
# installed extension stays as it is: sh .ci/sanitize.sh
set -eu
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python

build() { # name: the package with an extension built as the environment says, in build/<name>
    rm -rf "build/$1"
    mkdir -p "build/$1"
    cp -r engine/saccade "build/$1/"
    rm -f "build/$1"/saccade/kernels/*.so
    "$python" setup.py -q build_ext --force --build-lib "build/$1" --build-temp "build/$1/objects" 2>"build/$1/log" ||
        { cat "build/$1/log"; exit 1; }
    test -n "$(find "build/$1/saccade/kernels" -name '_native*.so')" || { cat "build/$1/log"; exit 1; }
}

check() { # name, pytest arguments: the kernel tests on that build, all compiled variants
    build=$PWD/build/$1
    shift
    PYTHONPATH=$build SACCADE_TEST_VARIANTS=avx512,avx2,sse42,portable SACCADE_TEST_BUILD=$build \
        "$python" -m pytest tests/kernels -q -p no:cacheprovider "$@"
}

echo "bounds-checked build"
(export SACCADE_BOUNDS_CHECK=1; build bounds)
check bounds

echo "AddressSanitizer build"
(export SACCADE_BOUNDS_CHECK=1 SACCADE_SANITIZE=address; build asan)
# Python itself is not built with the sanitizer: its run-time library has to come first, and the C++ library next.
# Leaks at exit are Python's. OpenVINO loads libraries in a way that the sanitizer refuses; valgrind, which the gate's test
# needs, and the sanitizer exclude each other.
(
    LD_PRELOAD="$(cc -print-file-name=libasan.so) $(cc -print-file-name=libstdc++.so)"
    export LD_PRELOAD SACCADE_EXAMPLES=40
    export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:log_path=build/asan/report
    check asan -k 'not openvinos and not gate'
) || { cat build/asan/report.* 2>/dev/null; exit 1; }
