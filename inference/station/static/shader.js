// The picture's shader: everything that is drawn from the scan's own 16-bit values.

export const VERTEX = `#version 300 es
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0;
  gl_Position = vec4(corner, 0.0, 1.0);
}`;

export const FRAGMENT = `#version 300 es
precision highp float;
precision highp usampler2D;
uniform usampler2D scan;      // high, low; 65535 = scale
uniform sampler2D smoothed;   // the same averaged over small cells, transmission
uniform sampler2D evidence;   // strongest evidence for a watched family
uniform sampler2D areal;      // g/cm2: goods, watch-list material
uniform vec2 view, size, cells, range;
uniform vec3 place;           // scan coordinates of the upper left corner, screen pixels a scan pixel
uniform float scale, width, level, edges, inverse, heat, heaviest, opaque, thin;
uniform int mode;
out vec4 colour;

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
  int taps = int(clamp(ceil(1.0 / zoom), 2.0, 4.0));
  vec2 sum = vec2(0);
  for (int y = 0; y < taps; y++)
    for (int x = 0; x < taps; x++)
      sum += texel(p + ((vec2(x, y) + 0.5) / float(taps) - 0.5) / zoom);
  return sum / float(taps * taps);
}

float weakening(float t) { return -log(max(t, 1.2e-5)); }

float channel(vec2 p) {
  vec2 t = transmission(p);
  return weakening(mode == 1 ? t.g : t.r);
}

vec3 ramp(float v, vec3 a, vec3 b, vec3 c, vec3 d, vec3 e) {
  v = clamp(v, 0.0, 1.0) * 4.0;
  if (v < 1.0) return mix(a, b, v);
  if (v < 2.0) return mix(b, c, v - 1.0);
  if (v < 3.0) return mix(c, d, v - 2.0);
  return mix(d, e, v - 3.0);
}

void main() {
  vec2 screen = vec2(gl_FragCoord.x, view.y - gl_FragCoord.y);
  vec2 p = place.xy + screen / place.z;
  if (any(lessThan(p, vec2(0))) || any(greaterThanEqual(p, size))) { colour = vec4(0); return; }
  float a = channel(p);
  if (edges > 0.0) {
    float d = max(1.0, 1.0 / place.z);
    float around = channel(p + vec2(d, 0)) + channel(p - vec2(d, 0)) + channel(p + vec2(0, d)) + channel(p - vec2(0, d));
    a += edges * (a - 0.25 * around);
  }
  float grey = 1.0 - clamp((a - level) / width + 0.5, 0.0, 1.0);
  if (inverse > 0.5) grey = 1.0 - grey;
  vec3 shown = vec3(grey);
  if (mode == 2) {
    vec2 s = texture(smoothed, p / size).rg;
    float high = weakening(s.r), ratio = (weakening(s.g) / max(high, 0.02) - range.x) / (range.y - range.x);
    vec3 hue = ramp(ratio, vec3(.90, .46, .12), vec3(.66, .76, .12), vec3(.12, .72, .42), vec3(.13, .47, .87), vec3(.29, .23, .88));
    shown = mix(vec3(grey), hue * (0.25 + 0.95 * grey), clamp((high - thin) / (4.0 * thin), 0.0, 1.0));
  } else if (mode == 3) {
    float g = texture(areal, p / cells).r / heaviest;
    vec3 hue = ramp(sqrt(clamp(g, 0.0, 1.0)), vec3(.27, .0, .33), vec3(.23, .32, .55), vec3(.13, .57, .55), vec3(.37, .79, .38), vec3(.99, .91, .14));
    shown = hue * (0.45 + 0.55 * grey);
  }
  if (heat > 0.5) {
    float e = texture(evidence, p / cells).r;
    vec3 hot = ramp(e, vec3(0, 0, .02), vec3(.34, .06, .43), vec3(.74, .21, .33), vec3(.98, .55, .04), vec3(.99, 1, .64));
    shown = mix(shown, hot, 0.62 * clamp((e - 0.15) / 0.45, 0.0, 1.0));
  }
  if (opaque > 0.0 && texture(smoothed, p / size).r < opaque && mod(screen.x + screen.y, 12.0) < 2.0) shown = vec3(1.0, .84, 0.0);
  colour = vec4(shown, 1.0);
}`;
