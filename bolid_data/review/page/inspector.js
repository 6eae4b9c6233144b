// One photo: large, with what was detected on it, and why it is in or out.

import { change, get } from "./api.js";
import { byId, element, short, svg, tell, words } from "./dom.js";

const LIMBS = [[5, 7], [7, 9], [6, 8], [8, 10], [5, 6], [5, 11], [6, 12], [11, 12], [11, 13], [13, 15], [12, 14], [14, 16], [0, 1], [0, 2], [1, 3], [2, 4]];
const VISIBLE = 0.5;

export class Inspector {
  constructor(view) {
    this.view = view;
    this.isOpen = false;
    this.isLarge = false;
    this.outlines = false;
    this.stage = element("div.stage", {});
    this.panel = element("div.panel", { role: "region", "aria-label": "Why", tabIndex: 0 });
    const tool = (text, label, run) => element("button.icon", { type: "button", "aria-label": label, title: label, onclick: run }, text);
    this.bar = element("div.bar", {},
      tool("‹", "Previous (left)", () => view.move(view.active - 1)), tool("›", "Next (right)", () => view.move(view.active + 1)),
      tool("✓", "Keep (k)", () => view.decide("keep")), tool("✕", "Reject (x)", () => view.decide("reject")),
      tool("≠", "Not this person (p)", () => view.decide("reject", { why: "not this person" })),
      tool("→", "Assign (a)", () => view.assign()), tool("▢", "Boxes and joints (b)", () => this.toggleOutlines()),
      tool("⤢", "Large (Enter)", () => (this.isLarge ? this.shrink() : this.enlarge())),
      tool("×", "Close (Esc)", () => (this.isLarge ? this.shrink() : this.close())));
    this.element = element("aside.inspector", { "aria-label": "Photo", hidden: true }, this.bar, this.stage, this.panel);
  }

  toggle() {
    if (this.isLarge || !this.isOpen) this.show();
    else this.close();
  }

  show() {
    this.isOpen = true;
    this.element.hidden = false;
    this.follow(true);
  }

  close() {
    this.isOpen = this.isLarge = false;
    this.element.hidden = true;
    this.element.classList.remove("large");
    this.view.rows.element.focus({ preventScroll: true });
  }

  enlarge() {
    this.wasOpen = this.isOpen;
    this.isLarge = true;
    this.element.classList.add("large");
    this.show();
  }

  shrink() {
    this.isLarge = false;
    this.element.classList.remove("large");
    if (this.wasOpen) this.view.rows.element.focus({ preventScroll: true });
    else this.close();
  }

  toggleOutlines() {
    this.outlines = !this.outlines;
    if (!this.isOpen) this.show();
    else this.draw();
    tell(this.outlines ? "Boxes and joints shown" : "Boxes and joints hidden");
  }

  /** Shows the active photo, if anything is shown. */
  async follow(again = false) {
    if (!this.isOpen) return;
    const photo = this.view.list.at(this.view.active);
    if (!photo) return;
    const isSame = photo.sha256 === this.photo?.sha256;
    this.photo = photo;
    if (!isSame) {
      this.explained = null;
      this.draw();
    }
    if (isSame && this.explained && !again) return;
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    try {
      // Who holds an arrow down passes most photos.
      await new Promise((resolve) => setTimeout(resolve, isSame ? 0 : 120));
      if (signal.aborted) return;
      const explained = await get(`api/photo/${photo.sha256}`, {}, signal);
      if (signal.aborted) return;
      this.explained = explained;
      this.draw();
    } catch (error) {
      if (!signal.aborted) this.panel.replaceChildren(element("p.note", {}, error.message));
    }
  }

  draw() {
    const { photo, explained } = this;
    if (!photo) return;
    if (this.drawn !== photo.sha256) {
      this.drawn = photo.sha256;
      const image = element("img", { alt: `${photo.person}, ${photo.file}`, src: `preview/${photo.sha256}` });
      image.addEventListener("error", () => image.replaceWith(element("p.note", {}, "This photo cannot be shown.")));
      this.overlay = svg("svg", { viewBox: `0 0 ${photo.width} ${photo.height}`, "aria-hidden": "true" });
      this.stage.replaceChildren(element("div.frame", {}, image, this.overlay));
      this.stage.firstChild.style.aspectRatio = `${photo.width} / ${photo.height}`;
      this.stage.firstChild.style.setProperty("--ratio", photo.width / photo.height);
    }
    this.drawOutlines(explained?.outlines ?? []);
    this.panel.replaceChildren(...this.facts(photo, explained));
  }

  drawOutlines(outlines) {
    this.overlay.replaceChildren();
    if (!this.outlines) return;
    const width = Math.max(this.photo.width, this.photo.height) / 320;
    for (const one of [...outlines].reverse()) {
      const [x0, y0, x1, y1] = one.box;
      const group = svg("g", { class: `${one.kind}${one.score < VISIBLE ? " faint" : ""}`, "stroke-width": width });
      group.append(svg("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, rx: width * 2 }));
      if (one.score >= VISIBLE) {
        const label = svg("text", { x: x0 + width * 2, y: y0 + width * 10, "font-size": width * 9, "stroke-width": 0 });
        label.textContent = `${one.kind} ${one.score.toFixed(2)}`;
        group.append(label);
        const points = one.keypoints ?? [];
        for (const [from, to] of LIMBS) {
          const [a, b] = [points[from], points[to]];
          if (a?.[2] >= VISIBLE && b?.[2] >= VISIBLE) group.append(svg("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1] }));
        }
        for (const [x, y, confidence] of points) if (confidence >= VISIBLE) group.append(svg("circle", { cx: x, cy: y, r: width * 1.8 }));
      }
      this.overlay.append(group);
    }
  }

  facts(photo, explained) {
    const verdict = photo.kept === null ? "not judged" : photo.kept ? "kept" : "out";
    const head = element("div.head", {}, element("span", { className: `badge ${verdict}` }, verdict),
      ...photo.reasons.map((reason) => element("span.badge.reason", {}, words(reason))));
    const title = element("h2", {}, photo.person);
    const where = element("p.note.path", {}, `${photo.file} · ${photo.width}×${photo.height}`);
    const caption = this.captionField(photo);
    if (!explained) return [title, where, head, caption, element("p.note", {}, "…")];
    const parts = [title, where, head, caption];
    const rules = explained.rules.filter((rule) => rule.value !== null && rule.limit !== null);
    parts.push(element("h3", {}, "Margins"), element("div.rules", {}, rules.map((rule) => this.rule(rule, explained.verdicts.length > 1))));
    if (explained.turns.length) {
      parts.push(element("h3", {}, "What alone would turn it"), element("ul", {}, explained.turns.map((turn) =>
        element("li", {}, `${turn.threshold} = ${short(turn.to)} instead of ${short(turn.from)} would put it ${turn.kept ? "in" : "out"}`))));
    }
    if (explained.decisions.length) {
      parts.push(element("h3", {}, "By hand"), element("ul", {}, explained.decisions.map((entry) =>
        element("li", {}, `${entry.what} (${entry.person}) by ${entry.who || "somebody"}, ${entry.decided_at}${entry.undone ? ", undone" : ""}${entry.why ? `: ${entry.why}` : ""}`))));
    }
    parts.push(element("h3", {}, "Seen"), element("ul", {}, explained.sightings.map((sighting) =>
      element("li", {}, `as ${sighting.person} at ${sighting.url} (${sighting.state}${sighting.consent ? `, ${sighting.consent}` : ""})`))));
    const others = explained.captions.filter((one) => one.caption);
    if (others.length) {
      parts.push(element("h3", {}, "Captions"), element("ul", {}, others.map((one) =>
        element("li", {}, `${one.caption} (${one.model}${one.prompt ? `: ${one.prompt}` : ""}${one.used ? ", in use" : ""})`))));
    }
    if (explained.near.length) {
      parts.push(element("h3", {}, "Near copies"), element("div.strip", {}, explained.near.slice(0, 12).map((near) =>
        element("figure", {}, element("img", { alt: "", loading: "lazy", src: `thumbnail/${near.sha256}` }),
          element("figcaption", {}, `${near.distance} bits`)))));
    }
    parts.push(element("p.note.path", {}, explained.photo.sha256));
    return parts;
  }

  rule(rule, several) {
    const share = Math.min(1, Math.abs(rule.margin) / Math.max(Math.abs(rule.limit), 1e-9));
    const bar = element("span.meter", { "aria-hidden": "true" }, element("i", {}));
    bar.firstChild.style.width = `${Math.max(4, share * 100)}%`;
    return element(`div.rule${rule.out ? ".out" : ""}`, {},
      element("span", {}, `${several ? `${rule.person}: ` : ""}${words(rule.reason)}`), bar,
      element("span.numbers", { title: `out if ${rule.fact} ${rule.out_if} ${rule.limit} (${rule.threshold})` },
        `${short(rule.value)} ${rule.out ? "is" : "not"} ${rule.out_if} ${short(rule.limit)}`));
  }

  captionField(photo) {
    const text = element("textarea", { id: "caption", rows: 3, maxLength: 20000, value: photo.caption ?? "", "aria-label": "Caption", placeholder: "No caption" });
    text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        text.blur();
        this.view.rows.element.focus({ preventScroll: true });
      } else if (event.key === "Escape") {
        text.value = photo.caption ?? "";
        text.blur();
        this.view.rows.element.focus({ preventScroll: true });
      }
      event.stopPropagation();
    });
    text.addEventListener("change", () => {
      photo.caption = text.value;
      change("api/caption", { captions: { [photo.sha256]: text.value } });
    });
    return text;
  }

  async editCaption() {
    if (!this.isOpen) this.show();
    byId("caption")?.focus();
  }
}
