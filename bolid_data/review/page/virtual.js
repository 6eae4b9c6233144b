// A list of any length of which only the visible rows are in the document.

import { element } from "./dom.js";

const LIMIT = 8_000_000; // pixels; browsers cannot make elements much higher

export class VirtualRows {
  /** `rowHeight()` in pixels, `makeRow(index)` gives an element, `shown(first, last)` hears which rows are visible. */
  constructor({ label, role, rowHeight, makeRow, shown }) {
    this.rowHeight = rowHeight;
    this.makeRow = makeRow;
    this.shown = shown ?? (() => {});
    this.count = 0;
    this.rows = new Map();
    this.space = element("div.space");
    this.element = element("div.scroller", { role, "aria-label": label, tabIndex: 0 }, this.space);
    this.element.addEventListener("scroll", () => this.update(), { passive: true });
    this.observer = new ResizeObserver(() => this.renew());
    this.observer.observe(this.element);
  }

  setCount(count) {
    this.count = count;
    this.renew();
  }

  /** Makes all visible rows again. */
  renew() {
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    const height = Math.min(this.count * this.rowHeight(), LIMIT);
    this.space.style.height = `${height}px`;
    this.update();
  }

  /** Row numbers are proportional to the scroll position where all rows together are too high for a browser. */
  get scale() {
    return Math.max(1, (this.count * this.rowHeight()) / LIMIT);
  }

  update() {
    const height = this.rowHeight();
    const top = this.element.scrollTop * this.scale;
    const view = this.element.clientHeight;
    if (!view) return;
    const first = Math.max(0, Math.floor(top / height) - 2);
    const last = Math.min(this.count - 1, Math.ceil((top + view) / height) + 2);
    for (const [index, row] of this.rows) {
      if (index < first || index > last) {
        row.remove();
        this.rows.delete(index);
      }
    }
    for (let index = first; index <= last; index++) {
      let row = this.rows.get(index);
      if (!row) {
        row = this.makeRow(index);
        this.rows.set(index, row);
        this.space.append(row);
      }
      row.style.transform = `translateY(${index * height - top + this.element.scrollTop}px)`;
    }
    if (last >= first) this.shown(first, last);
  }

  /** Makes one row again, if it is visible. */
  renewRow(index) {
    const old = this.rows.get(index);
    if (!old) return;
    const row = this.makeRow(index);
    row.style.transform = old.style.transform;
    old.replaceWith(row);
    this.rows.set(index, row);
  }

  reveal(index) {
    const height = this.rowHeight();
    const top = this.element.scrollTop * this.scale;
    const view = this.element.clientHeight;
    if (index * height < top) this.element.scrollTop = (index * height) / this.scale;
    else if ((index + 1) * height > top + view) this.element.scrollTop = ((index + 1) * height - view) / this.scale;
    this.update();
  }
}
