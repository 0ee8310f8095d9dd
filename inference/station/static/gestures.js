// Mouse, pen, fingers and arrow keys on the picture. One pointer sets window and level (or pans, or draws the ruler);
// two fingers pan and zoom about the point between them.

/** Let a stage's gestures work on its viewer; `told(x, y)`: the scan coordinates under the pointer, or nothing. */
export function listen(viewer, stage, told) {
  const fingers = new Map();
  let held = null, pinch = null;
  const spot = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const scanned = ([x, y]) => [viewer.place.x + x / viewer.place.zoom, viewer.place.y + y / viewer.place.zoom];
  const two = () => {
    const [[ax, ay], [bx, by]] = [...fingers.values()];
    return { apart: Math.max(8, Math.hypot(ax - bx, ay - by)), x: (ax + bx) / 2, y: (ay + by) / 2 };
  };

  const undo = () => { // a second finger: what the first one began was no drag
    if (held?.kind === "window") viewer.setSpan(held.span.width, held.span.level);
    if (held?.kind === "ruler") { viewer.line = held.line; viewer.draw(); }
    held = null;
  };

  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("pointerdown", (event) => {
    if (!viewer.data) return;
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, spot(event));
    if (fingers.size > 1) {
      undo();
      pinch = fingers.size === 2 ? two() : null;
      return;
    }
    const pans = event.button !== 0 || event.shiftKey;
    held = { kind: pans ? "pan" : viewer.options.ruler ? "ruler" : "window", at: spot(event), span: { ...viewer.span }, line: viewer.line };
    if (held.kind === "ruler") { const p = scanned(held.at); viewer.line = [...p, ...p]; }
  });

  stage.addEventListener("pointermove", (event) => {
    const now = spot(event);
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, now);
    if (pinch) {
      const next = two();
      viewer.pan(next.x - pinch.x, next.y - pinch.y);
      viewer.zoomBy(next.apart / pinch.apart, next.x, next.y);
      pinch = next;
      return;
    }
    if (held) {
      const dx = now[0] - held.at[0], dy = now[1] - held.at[1];
      if (held.kind === "pan") viewer.pan(dx, dy);
      else if (held.kind === "window") viewer.setSpan(viewer.span.width * Math.exp(dx / 220), viewer.span.level + (dy * viewer.span.width) / 350);
      else if (viewer.line) { viewer.line.splice(2, 2, ...scanned(now)); viewer.draw(); } // none: another scan came up under the pointer
      if (held.kind !== "ruler") held.at = now;
    }
    told(...scanned(now));
  });

  for (const name of ["pointerup", "pointercancel"]) {
    stage.addEventListener(name, (event) => {
      fingers.delete(event.pointerId);
      held = null;
      pinch = fingers.size === 2 ? two() : null;
    });
  }
  stage.addEventListener("pointerleave", () => told());
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    viewer.zoomBy(Math.exp(-event.deltaY / 400), ...spot(event));
  }, { passive: false });
  stage.addEventListener("dblclick", () => viewer.fit());
  stage.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.shiftKey) viewer.setSpan(viewer.span.width * Math.exp(-0.12 * step[0]), viewer.span.level - 0.04 * viewer.span.width * step[1]);
    else viewer.pan(70 * step[0], 70 * step[1]);
  });
}
