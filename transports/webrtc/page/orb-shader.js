/** The orb's WebGL program. Everything it shows comes in through uniforms; see orb.js. */

export const VERTEX = `
attribute vec2 corner;
void main() { gl_Position = vec4(corner, 0.0, 1.0); }
`;

export const FRAGMENT = `
precision highp float;
uniform vec2 size;
uniform float time;     // seconds
uniform float agent;    // 0..1, smoothed
uniform float caller;   // 0..1, smoothed
uniform float thinking; // 0..1
uniform float alive;    // 0 idle .. 1 in a call
uniform float dark;     // 1 on a dark page
uniform vec3 agentTone;
uniform vec3 deepTone;
uniform vec3 callerTone;

float hash(vec3 p) {
  p = fract(p * 0.3183099 + vec3(0.11, 0.17, 0.13));
  p *= 17.0;
  return fract(p.x * p.y * p.z * (p.x + p.y + p.z));
}

float noise(vec3 x) {
  vec3 i = floor(x), f = fract(x);
  f = f * f * f * (f * (f * 6.0 - 15.0) + 10.0);
  return mix(
    mix(mix(hash(i), hash(i + vec3(1, 0, 0)), f.x), mix(hash(i + vec3(0, 1, 0)), hash(i + vec3(1, 1, 0)), f.x), f.y),
    mix(mix(hash(i + vec3(0, 0, 1)), hash(i + vec3(1, 0, 1)), f.x),
        mix(hash(i + vec3(0, 1, 1)), hash(i + vec3(1, 1, 1)), f.x), f.y),
    f.z);
}

float flow(vec3 p) { return 0.6 * noise(p) + 0.4 * noise(p * 2.03 + 7.1); }

void main() {
  vec2 p = (gl_FragCoord.xy * 2.0 - size) / min(size.x, size.y);
  float r = length(p);
  vec2 dir = r > 0.0 ? p / r : vec2(0.0);
  float slow = time * 0.35;

  // The body: its outline moves with the agent's voice.
  float ripple = flow(vec3(dir * 1.3, slow + time * 0.5 * agent)) - 0.5;
  float radius = 0.56 + 0.012 * sin(time * 1.1) + ripple * (0.035 + 0.20 * agent) + 0.045 * agent;
  float edge = 3.0 / min(size.x, size.y);
  float body = smoothstep(edge, -edge, r - radius);

  // A sphere's normal gives depth; warped noise gives the slow light inside.
  float q = clamp(r / radius, 0.0, 1.0);
  vec3 n = vec3(p / radius, sqrt(max(0.0, 1.0 - q * q)));
  float turn = thinking * time * 1.6;
  vec2 s = mat2(cos(turn), -sin(turn), sin(turn), cos(turn)) * n.xy;
  vec3 at = vec3(s * mix(0.72, 1.0, agent), n.z * 0.5 + slow);
  float warp = flow(at + vec3(0.0, 0.0, 3.0));
  float light = flow(at * 0.9 + mix(1.1, 1.8, agent) * warp + vec3(slow, -slow * 0.7, 0.0));

  vec3 pale = mix(vec3(1.0), agentTone, 0.25);
  vec3 tint = mix(deepTone, agentTone, smoothstep(0.12, 0.66, light + 0.16 * n.y));
  tint = mix(tint, pale, smoothstep(0.52, 1.02, light + 0.30 * n.y + 0.10 * agent));
  float warm = smoothstep(0.0, 0.5, caller) * smoothstep(1.15, -0.1, distance(n.xy, vec2(-0.35, -0.55)));
  tint = mix(tint, callerTone, 0.85 * warm);
  float shade = mix(0.80, 1.08, smoothstep(-0.9, 0.8, n.y + 0.35 * n.z));
  float rim = pow(q, 5.0);
  tint = tint * shade + rim * mix(0.10, 0.16, dark) * pale;
  float glint = smoothstep(0.42, 0.0, distance(n.xy, vec2(-0.32, 0.44)));
  tint += mix(0.22, 0.10, dark) * glint * glint;
  float grey = dot(tint, vec3(0.30, 0.59, 0.11));
  tint = mix(mix(vec3(grey), tint, 0.72), tint, alive);

  // Around it: a glow of who is speaking, and rings that carry the caller's voice inwards.
  float out_ = max(0.0, r - radius);
  float glow = exp(-out_ * mix(9.0, 4.6, max(agent, caller))) * mix(0.16, 0.42, max(agent, caller * 0.9));
  glow *= smoothstep(1.0, 0.62, r) * mix(0.75, 1.0, dark);
  vec3 halo = mix(agentTone, callerTone, caller / max(agent + caller, 0.08) * step(0.02, caller));
  float wave = 0.5 + 0.5 * sin(r * 46.0 + time * 7.0);
  float rings = caller * pow(wave, 6.0) * smoothstep(radius, radius + 0.10, r) * smoothstep(0.98, 0.70, r);
  float around = clamp(glow + 0.55 * rings, 0.0, 1.0) * (1.0 - body);
  vec3 aroundTint = mix(halo, callerTone, clamp(rings * 1.4, 0.0, 1.0));

  float alpha = body + around;
  gl_FragColor = vec4(tint * body + aroundTint * around, alpha);
}
`;
