// The mathematics of the rasterizer, once, for every engine.
//
// Plain templates on the scalar type: float and double instantiate alike, no std:: containers,
// no allocation, no exceptions, so that a CUDA engine compiles the same files.
// Source: spec `rasterizer.md`; section numbers stand beside each function.
#pragma once

#include "math_covariance.h"
#include "math_ellipse.h"
#include "math_plane.h"
#include "math_projection.h"
#include "math_sh.h"
