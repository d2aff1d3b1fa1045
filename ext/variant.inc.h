/* All kernels for one instruction set: a variant's source defines VARIANT and VECTOR_LANES, then includes this. */
#include "preprocess.inc.h"

#include "decode.inc.h"

#include "yolo.inc.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define GLUE_OF(a, b) a##b
#define GLUE(a, b) GLUE_OF(a, b)

const kernels_t GLUE(saccade_, VARIANT) = {TEXT(VARIANT), preprocess, nms, ssd, anchors, yolo};
