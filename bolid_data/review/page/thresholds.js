// Thresholds as sliders: what others would change is shown before they are applied.

import { change, get, post } from "./api.js";
import { counted, element, settled, short, svg, tell, words } from "./dom.js";

export class ThresholdsView {
  constructor(app) {
    this.app = app;
    this.values = {};
    this.list = element("div.sliders", {});
    this.result = element("div.result", { role: "status" });
    this.apply = element("button.primary", { type: "button", disabled: true, onclick: () => this.write() }, "Apply");
    this.reset = element("button", { type: "button", disabled: true, onclick: () => this.activate() }, "Reset");
    this.examples = element("div.found-examples", {});
    this.element = element("section.thresholds", { "aria-label": "Thresholds" },
      element("div.middle", {}, this.list,
        element("aside.side", {}, element("h2", {}, "What would change"), this.result,
          element("div.buttons", {}, this.reset, this.apply), this.examples)));
    this.preview = settled(() => this.look(), 160);
  }

  async activate() {
    this.values = {};
    this.apply.disabled = this.reset.disabled = true;
    try {
      const { thresholds } = await get("api/thresholds");
      this.known = Object.fromEntries(thresholds.map((one) => [one.key, one]));
      this.list.replaceChildren(...thresholds.map((one) => this.slider(one)));
      await this.look();
    } catch (error) {
      this.list.replaceChildren(element("p.empty", {}, error.message));
      this.result.replaceChildren();
    }
  }

  slider(one) {
    const off = one.value === null || one.value === false;
    const start = off ? (one.out_below ? one.low : one.high) : one.value;
    const id = `threshold-${one.key}`;
    const range = element("input", { type: "range", min: one.low, max: one.high, step: one.step, value: start, id, disabled: off, "aria-describedby": `${id}-text` });
    const number = element("input", { type: "number", step: "any", value: start, "aria-label": `${one.key}, as a number`, disabled: off });
    const changed = (value) => {
      range.value = number.value = value;
      this.set(one, value === "" ? NaN : Number(value));
      this.mark(histogram, one, Number(value));
    };
    range.addEventListener("input", () => changed(range.value));
    number.addEventListener("change", () => changed(number.value));
    const toggle = one.optional || one.value === false ? element("label.check", {}, element("input", {
      type: "checkbox", checked: !off, onchange: (event) => {
        range.disabled = number.disabled = !event.target.checked;
        this.set(one, event.target.checked ? Number(range.value) : null);
      },
    }), "on") : null;
    const histogram = this.histogram(one, off ? null : start);
    const reasons = one.reasons.map((reason) => element("span.badge.reason", {}, words(reason)));
    return element("div.slider", {},
      element("div.title", {}, element("label", { htmlFor: id }, one.key), ...reasons, toggle, number),
      histogram, range, element("p.note", { id: `${id}-text` }, one.text));
  }

  histogram(one, value) {
    if (!one.histogram) return null;
    const { counts } = one.histogram;
    const highest = Math.max(...counts.map(Math.sqrt), 1);
    const drawn = svg("svg", { viewBox: "0 0 100 20", preserveAspectRatio: "none", class: "histogram", "aria-hidden": "true" });
    const span = one.high - one.low || 1;
    const left = (100 * (one.histogram.low - one.low)) / span;
    const width = (100 * (one.histogram.high - one.histogram.low)) / span / counts.length || 2;
    counts.forEach((count, index) => {
      const height = (20 * Math.sqrt(count)) / highest;
      drawn.append(svg("rect", { x: left + index * width, y: 20 - height, width: width * 0.86, height }));
    });
    this.mark(drawn, one, value);
    return drawn;
  }

  /** Marks the bars that are out. */
  mark(drawn, one, value) {
    if (!drawn) return;
    const { low, high, counts } = one.histogram;
    [...drawn.children].forEach((bar, index) => {
      const middle = low + ((index + 0.5) * (high - low)) / counts.length;
      bar.classList.toggle("out", value !== null && (one.out_below ? middle < value : middle > value));
    });
  }

  set(one, value) {
    if (Number.isNaN(value)) return;
    if (value === one.value || (value === null && (one.value === null || one.value === false))) delete this.values[one.key];
    else this.values[one.key] = value;
    this.preview();
  }

  async look() {
    const values = { ...this.values };
    this.reset.disabled = !Object.keys(values).length;
    this.result.classList.add("stale");
    try {
      this.show(await post("api/preview", { values }), values);
    } catch (error) {
      this.result.replaceChildren(element("p.error", {}, error.message));
      this.apply.disabled = true;
    }
    this.result.classList.remove("stale");
  }

  show(preview, values) {
    const { packaged } = this.app.overview;
    const by = (counts) => Object.entries(counts).sort((a, b) => b[1] - a[1]).map(([reason, photos]) =>
      element("li", {}, `${words(reason)} `, element("span.numbers", {}, photos.toLocaleString("en"))));
    const side = (sign, number, word, counts) => element("div", { className: `change ${word}` },
      element("strong", {}, `${sign}${number.toLocaleString("en")}`), element("span", {}, ` ${word}`), element("ul", {}, by(counts)));
    this.result.replaceChildren(
      element("p", {}, `${counted(preview.kept, "photo")} of ${counted(preview.people, "person", "people")} kept`),
      element("div.changes", {}, side("+", preview.gained, "gained", preview.gained_by), side("−", preview.lost, "lost", preview.lost_by)),
      packaged ? element("p.note", {}, "This manifest comes with BoLID and cannot be changed; copy it, and review the copy with the same --data.") : "");
    const changes = preview.gained || preview.lost || Object.keys(values).length;
    this.apply.disabled = packaged || !changes;
    this.apply.textContent = Object.keys(values).length ? `Apply ${counted(Object.keys(values).length, "threshold")}` : "Judge again";
    const strip = (kept) => preview.examples.filter((photo) => photo.kept === kept).map((photo) => element("figure", { className: kept ? "gained" : "lost" },
      element("img", { alt: `${photo.person}: ${photo.reasons.map(words).join(", ")}`, loading: "lazy", src: `thumbnail/${photo.sha256}` }),
      element("figcaption", {}, photo.reasons.map(words).join(", "))));
    const [gained, lost] = [strip(true), strip(false)];
    this.examples.replaceChildren(...(gained.length ? [element("h3", {}, "Gained, for example"), element("div.strip", {}, gained)] : []),
      ...(lost.length ? [element("h3", {}, "Lost, for example"), element("div.strip", {}, lost)] : []));
  }

  write() {
    this.apply.disabled = true;
    change("api/apply", { values: this.values });
  }

  overviewChanged() {}

  refresh(path) {
    if (path === "api/apply") this.activate();
    else this.look();
  }

  key(event) {
    if (event.key === "r" && !event.ctrlKey && !event.metaKey) {
      this.activate();
      return true;
    }
    return false;
  }
}
