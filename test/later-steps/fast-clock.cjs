/** Preloaded into a tool (node --require): its clock runs sixty times as fast, so that its minutes last a second. */
const SPEED = 60;
const now = Date.now;
const start = now();
const fast = () => start + (now() - start) * SPEED;
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...parts) {
    if (parts.length === 0) super(fast());
    else super(...parts);
  }
  static now() {
    return fast();
  }
};
