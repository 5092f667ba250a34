/**
 * GLSL of the renderer. The mathematics is that of the project's own rasterizer (local affine
 * projection about each centre, guard band of 1.3 fields of view, near cut at 0.2, opacity cut at
 * 1/255 and 0.99, spherical harmonics without an upper clamp), so that both show the same picture.
 */

/** Gaussians per row of the per-Gaussian textures. */
export const ROW = 1024;
/** Texels per row of the texture of spherical harmonics. */
export const SH_ROW = 4096;

/** Quads that one instance draws: software renderers treat every instance as a draw of its own. */
export const BATCH = 4096;

/** A triangle that covers the viewport. */
export const COVER_VERTEX = `#version 300 es
out vec2 v_place;
void main() {
  v_place = vec2(float(gl_VertexID & 1), float(gl_VertexID >> 1)) * 2.0;
  gl_Position = vec4(v_place * 2.0 - 1.0, 0.0, 1.0);
}
`;

/**
 * First pass, one fragment for each Gaussian in drawing order: its ellipse and colour on screen, so
 * that the corners of its quad need not compute them again. Into integer textures, which every
 * WebGL2 can render to.
 */
export const PROJECT_FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;

uniform usampler2D u_order;
uniform sampler2D u_centers;
uniform sampler2D u_rotations;
uniform sampler2D u_scales;
uniform sampler2D u_opacities;
uniform sampler2D u_colors;
uniform sampler2D u_sh;
uniform mat3 u_rotation; // world to camera
uniform vec3 u_translation;
uniform vec3 u_eye; // world axes
uniform vec4 u_intrinsics; // fx fy cx cy
uniform vec2 u_size; // pixels
uniform vec2 u_limit; // guard band, tangents
uniform float u_kernel; // variance of the low-pass, square pixels
uniform int u_degree;

uniform int u_count;

// Centre, and the larger half axis of one standard deviation; pixels.
layout(location = 0) out highp uvec4 o_place;
// The other half axis, opacity (0: not drawn), RGB as halves.
layout(location = 1) out highp uvec4 o_look;

const float NEAR = 0.2;
const float CUT = 1.0 / 255.0;

ivec2 at(int i) { return ivec2(i % ${ROW}, i / ${ROW}); }

vec3 sh(int row, int k, int perRow) {
  int i = row * perRow + k - 1;
  return texelFetch(u_sh, ivec2(i % ${SH_ROW}, i / ${SH_ROW}), 0).rgb;
}

vec3 harmonics(int row, vec3 d) {
  int n = (u_degree + 1) * (u_degree + 1) - 1;
  float x = d.x, y = d.y, z = d.z;
  vec3 sum = 0.4886025119029199 * (-y * sh(row, 1, n) + z * sh(row, 2, n) - x * sh(row, 3, n));
  if (u_degree < 2) return sum;
  float xx = x * x, yy = y * y, zz = z * z;
  sum += 1.0925484305920792 * (x * y * sh(row, 4, n) - y * z * sh(row, 5, n) - x * z * sh(row, 7, n))
    + 0.31539156525252005 * (2.0 * zz - xx - yy) * sh(row, 6, n)
    + 0.5462742152960396 * (xx - yy) * sh(row, 8, n);
  if (u_degree < 3) return sum;
  return sum
    - 0.5900435899266435 * y * (3.0 * xx - yy) * sh(row, 9, n)
    + 2.890611442640554 * x * y * z * sh(row, 10, n)
    - 0.4570457994644658 * y * (4.0 * zz - xx - yy) * sh(row, 11, n)
    + 0.3731763325901154 * z * (2.0 * zz - 3.0 * xx - 3.0 * yy) * sh(row, 12, n)
    - 0.4570457994644658 * x * (4.0 * zz - xx - yy) * sh(row, 13, n)
    + 1.445305721320277 * z * (xx - yy) * sh(row, 14, n)
    - 0.5900435899266435 * x * (xx - 3.0 * yy) * sh(row, 15, n);
}

mat3 matrixOf(vec4 q) { // w x y z
  float w = q.x, x = q.y, y = q.z, z = q.w;
  return mat3(
    1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
    2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
    2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));
}

void main() {
  o_place = uvec4(0u);
  o_look = uvec4(0u);
  ivec2 here = ivec2(gl_FragCoord.xy);
  if (here.y * ${ROW} + here.x >= u_count) return;
  int row = int(texelFetch(u_order, here, 0).r);
  vec3 center = texelFetch(u_centers, at(row), 0).xyz;
  vec3 t = u_rotation * center + u_translation;
  if (!(t.z > NEAR)) return;
  float opacity = texelFetch(u_opacities, at(row), 0).r;
  vec2 focal = u_intrinsics.xy;
  vec2 pixel = focal * t.xy / t.z + u_intrinsics.zw;

  // The two rows of J R Q diag(s): their products are the covariance on screen.
  vec2 tangent = clamp(t.xy / t.z, -u_limit, u_limit);
  mat3 shape = u_rotation * matrixOf(texelFetch(u_rotations, at(row), 0));
  vec3 s = texelFetch(u_scales, at(row), 0).xyz;
  shape[0] *= s.x;
  shape[1] *= s.y;
  shape[2] *= s.z;
  mat3 rows = transpose(shape);
  vec3 f0 = (focal.x / t.z) * (rows[0] - tangent.x * rows[2]);
  vec3 f1 = (focal.y / t.z) * (rows[1] - tangent.y * rows[2]);
  float a = dot(f0, f0), b = dot(f0, f1), c = dot(f1, f1);
  vec3 normal = cross(f0, f1);
  float bare = dot(normal, normal); // a c - b b without its cancellation
  float determinant = bare + u_kernel * (a + c) + u_kernel * u_kernel;
  if (bare <= 1e-6 || determinant <= 1e-6) return;
  opacity *= sqrt(bare / (determinant + 1e-6) + 1e-6);
  a += u_kernel;
  c += u_kernel;
  if (!(opacity >= CUT)) return;

  float large = 0.5 * (a + c) + length(vec2(0.5 * (a - c), b));
  float small = determinant / large;
  vec2 along = a >= c ? vec2(large - c, b) : vec2(b, large - a);
  float size = length(along);
  along = size > 1e-9 * large ? along / size : vec2(1.0, 0.0);
  float r = sqrt(2.0 * log(opacity / CUT)); // where it falls below the cut
  vec2 extent = r * sqrt(vec2(a, c));
  if (any(lessThan(pixel + extent, vec2(-1.0)))) return;
  if (any(greaterThan(pixel - extent, u_size + 1.0))) return;

  vec3 rgb = 0.5 + 0.28209479177387814 * texelFetch(u_colors, at(row), 0).rgb;
  if (u_degree > 0) rgb += harmonics(row, normalize(center - u_eye));
  rgb = max(rgb, 0.0);
  o_place = floatBitsToUint(vec4(pixel, along * sqrt(large)));
  o_look = uvec4(floatBitsToUint(vec2(sqrt(small), opacity)),
    packHalf2x16(rgb.rg), packHalf2x16(vec2(rgb.b, 0.0)));
}
`;

/** Second pass: a quad about the part of each ellipse that can be seen. */
export const SPLAT_VERTEX = `#version 300 es
precision highp float;

precision highp int;
precision highp usampler2D;

uniform usampler2D u_place;
uniform usampler2D u_look;
uniform int u_count;
uniform int u_first; // batch
uniform vec2 u_size;
flat out vec2 v_center;
flat out mat2 v_whiten; // pixels to standard deviations
flat out vec4 v_color;

void main() {
  v_center = vec2(0.0);
  v_whiten = mat2(0.0);
  v_color = vec4(0.0);
  gl_Position = vec4(0.0, 0.0, 2.0, 1.0); // outside
  int i = (u_first + gl_InstanceID) * ${BATCH} + gl_VertexID / 4;
  if (i >= u_count) return;
  ivec2 at = ivec2(i % ${ROW}, i / ${ROW});
  uvec4 look = texelFetch(u_look, at, 0);
  float opacity = uintBitsToFloat(look.y);
  if (opacity == 0.0) return;
  vec4 place = uintBitsToFloat(texelFetch(u_place, at, 0));
  v_center = place.xy;
  v_color = vec4(unpackHalf2x16(look.z), unpackHalf2x16(look.w).x, opacity);
  float large = length(place.zw), small = uintBitsToFloat(look.x);
  vec2 along = place.zw / large;
  vec2 across = vec2(-along.y, along.x);
  v_whiten = mat2(
    vec2(along.x / large, across.x / small), vec2(along.y / large, across.y / small));
  // A hair more against the rounding of corners to parts of a pixel.
  vec2 reach = sqrt(2.0 * log(255.0 * opacity)) * vec2(large, small) + 0.02;
  vec2 corner = (vec2(float(gl_VertexID & 1), float(gl_VertexID >> 1 & 1)) * 2.0 - 1.0) * reach;
  vec2 pixel = v_center + along * corner.x + across * corner.y;
  gl_Position = vec4(2.0 * pixel.x / u_size.x - 1.0, 1.0 - 2.0 * pixel.y / u_size.y, 0.0, 1.0);
}
`;

export const SPLAT_FRAGMENT = `#version 300 es
precision highp float;

flat in vec2 v_center;
flat in mat2 v_whiten;
flat in vec4 v_color;
uniform vec2 u_size;
out vec4 o_color;

void main() {
  vec2 d = v_whiten * (vec2(gl_FragCoord.x, u_size.y - gl_FragCoord.y) - v_center);
  float alpha = min(0.99, v_color.a * exp(-0.5 * dot(d, d)));
  if (alpha < 1.0 / 255.0) discard;
  o_color = vec4(v_color.rgb * alpha, alpha);
}
`;

export const PRESENT_FRAGMENT = `#version 300 es
precision highp float;
in vec2 v_place;
uniform sampler2D u_picture;
uniform vec3 u_background;
out vec4 o_color;
void main() {
  vec4 picture = texture(u_picture, v_place);
  o_color = vec4(picture.rgb + (1.0 - picture.a) * u_background, 1.0);
}
`;

export const LINE_VERTEX = `#version 300 es
precision highp float;
layout(location = 0) in vec3 a_point;
layout(location = 1) in vec3 a_color;
uniform mat3 u_rotation;
uniform vec3 u_translation;
uniform vec4 u_intrinsics;
uniform vec2 u_size;
out vec3 v_color;
void main() {
  vec3 t = u_rotation * a_point + u_translation;
  vec2 pixel = u_intrinsics.xy * t.xy + u_intrinsics.zw * t.z;
  // Homogeneous: clipped by the GPU at z = near.
  gl_Position = vec4(2.0 * pixel.x / u_size.x - t.z, t.z - 2.0 * pixel.y / u_size.y, t.z - 0.02, t.z);
  v_color = a_color;
}
`;

export const LINE_FRAGMENT = `#version 300 es
precision mediump float;
in vec3 v_color;
out vec4 o_color;
void main() { o_color = vec4(v_color, 1.0); }
`;
