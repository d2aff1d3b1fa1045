/* Plain C for any processor; compilers make of the plain loops what their target has. */
#define VARIANT portable
#define VECTOR_LANES 0
#include "variant.inc.h"
