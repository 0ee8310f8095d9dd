// The picture's shaders. The first pass brings the scan's 16-bit values to the screen's pixels and runs when the place
// changes; the second gives them window, level and colours, so that dragging costs a handful of fetches a pixel.

export const VERTEX = `#version 300 es
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0;
  gl_Position = vec4(corner, 0.0, 1.0);
}`;

export const PLACE = `#version 300 es
precision highp float;
precision highp usampler2D;
uniform usampler2D scan;      // high, low; 65535 = scale
uniform sampler2D smoothed;   // the same averaged over small cells, transmission
uniform sampler2D evidence;   // strongest evidence for a watched family
uniform sampler2D areal;      // g/cm2: goods, watch-list material
uniform vec2 view, size, cells, range;
uniform vec3 place;           // scan coordinates of the upper left corner, screen pixels a scan pixel
uniform float scale, cell, heaviest, opaque, thin;
layout(location = 0) out uvec4 measured; // 5000 (1 - ln T) at high and low, and 0 outside, 1 inside, 2 not penetrated
layout(location = 1) out vec4 told;      // evidence, root of areal density, ratio, how much the ratio is worth

vec2 texel(vec2 p) {
  ivec2 at = clamp(ivec2(floor(p)), ivec2(0), ivec2(size) - 1);
  return vec2(texelFetch(scan, at, 0).rg) * (scale / 65535.0);
}

// Averages are taken in transmission, before the logarithm.
vec2 transmission(vec2 p) {
  float zoom = place.z;
  if (zoom >= 4.0) return texel(p);
  if (zoom >= 1.0) {
    vec2 q = p - 0.5, f = fract(q), b = floor(q) + 0.5;
    return mix(mix(texel(b), texel(b + vec2(1, 0)), f.x), mix(texel(b + vec2(0, 1)), texel(b + vec2(1, 1)), f.x), f.y);
  }
  bool small = zoom * cell <= 1.0;
  int taps = int(clamp(ceil(1.0 / (small ? zoom * cell : zoom)), small ? 1.0 : 2.0, 4.0));
  vec2 sum = vec2(0);
  for (int y = 0; y < taps; y++)
    for (int x = 0; x < taps; x++) {
      vec2 q = p + ((vec2(x, y) + 0.5) / float(taps) - 0.5) / zoom;
      sum += small ? texture(smoothed, q / size).rg : texel(q);
    }
  return sum / float(taps * taps);
}

vec2 weakening(vec2 t) { return -log(max(t, 1.2e-5)); }

void main() {
  vec2 p = place.xy + vec2(gl_FragCoord.x, view.y - gl_FragCoord.y) / place.z;
  measured = uvec4(0);
  told = vec4(0);
  if (any(lessThan(p, vec2(0))) || any(greaterThanEqual(p, size))) return;
  vec2 s = texture(smoothed, p / size).rg, w = weakening(s);
  measured = uvec4(uvec2(round(5000.0 * clamp(1.0 + weakening(transmission(p)), 0.0, 13.0))), s.r < opaque ? 2u : 1u, 0u);
  told = vec4(texture(evidence, p / cells).r, sqrt(clamp(texture(areal, p / cells).r / heaviest, 0.0, 1.0)),
    (w.g / max(w.r, 0.02) - range.x) / (range.y - range.x), (w.r - thin) / (4.0 * thin));
}`;

export const TONE = `#version 300 es
precision highp float;
precision highp usampler2D;
uniform usampler2D measured;
uniform sampler2D told;
uniform float width, level, edges, inverse, heat, marked, height;
uniform int mode, apart;      // 0 high, 1 low, 2 ratio, 3 areal density; pixels between neighbours
out vec4 colour;

float channel(uvec4 m) { return float(mode == 1 ? m.g : m.r) / 5000.0 - 1.0; }

float beside(ivec2 at, float here) {
  uvec4 m = texelFetch(measured, clamp(at, ivec2(0), textureSize(measured, 0) - 1), 0);
  return m.b == 0u ? here : channel(m);
}

vec3 ramp(float v, vec3 a, vec3 b, vec3 c, vec3 d, vec3 e) {
  v = clamp(v, 0.0, 1.0) * 4.0;
  if (v < 1.0) return mix(a, b, v);
  if (v < 2.0) return mix(b, c, v - 1.0);
  if (v < 3.0) return mix(c, d, v - 2.0);
  return mix(d, e, v - 3.0);
}

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  uvec4 m = texelFetch(measured, at, 0);
  if (m.b == 0u) { colour = vec4(0); return; }
  vec4 s = texelFetch(told, at, 0);
  float a = channel(m);
  if (edges > 0.0) {
    ivec2 x = ivec2(apart, 0), y = ivec2(0, apart);
    a += edges * (a - 0.25 * (beside(at + x, a) + beside(at - x, a) + beside(at + y, a) + beside(at - y, a)));
  }
  float grey = 1.0 - clamp((a - level) / width + 0.5, 0.0, 1.0);
  if (inverse > 0.5) grey = 1.0 - grey;
  vec3 shown = vec3(grey);
  if (mode == 2) {
    vec3 hue = ramp(s.b, vec3(.90, .46, .12), vec3(.66, .76, .12), vec3(.12, .72, .42), vec3(.13, .47, .87), vec3(.29, .23, .88));
    shown = mix(vec3(grey), hue * (0.25 + 0.95 * grey), s.a);
  } else if (mode == 3) {
    vec3 hue = ramp(s.g, vec3(.27, .0, .33), vec3(.23, .32, .55), vec3(.13, .57, .55), vec3(.37, .79, .38), vec3(.99, .91, .14));
    shown = hue * (0.45 + 0.55 * grey);
  }
  if (heat > 0.5 && s.r > 0.15) {
    vec3 hot = ramp(s.r, vec3(0, 0, .02), vec3(.34, .06, .43), vec3(.74, .21, .33), vec3(.98, .55, .04), vec3(.99, 1, .64));
    shown = mix(shown, hot, 0.62 * clamp((s.r - 0.15) / 0.45, 0.0, 1.0));
  }
  if (marked > 0.5 && m.b == 2u && mod(gl_FragCoord.x + height - gl_FragCoord.y, 12.0) < 2.0) shown = vec3(1.0, .84, 0.0);
  colour = vec4(shown, 1.0);
}`;
