/* Marks for callgrind that a Python program can set: bench/stages.py, by ctypes. */
#include <valgrind/callgrind.h>

void begin(void) { CALLGRIND_ZERO_STATS; }
void end(const char *label) { CALLGRIND_DUMP_STATS_AT(label); }
