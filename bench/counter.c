/* Marks for callgrind that a Python program can set: bench/stages.py, by ctypes. Nothing is counted outside of them,
   which makes the imports before the first many times faster. */
#include <valgrind/callgrind.h>

void begin(void) {
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}
void end(const char *label) {
    CALLGRIND_DUMP_STATS_AT(label);
    CALLGRIND_STOP_INSTRUMENTATION;
}
