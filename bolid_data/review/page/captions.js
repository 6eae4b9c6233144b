// Captions of kept photos: edited in place, found and replaced, their words counted, their trigger word.

import { change, get, post } from "./api.js";
import * as dialogs from "./dialogs.js";
import { byId, counted, element, settled, tell } from "./dom.js";
import { PhotoList } from "./photolist.js";
import { VirtualRows } from "./virtual.js";

export class CaptionsView {
  constructor(app) {
    this.app = app;
    this.list = new PhotoList((first, last) => {
      for (let place = first; place <= last; place++) this.rows.renewRow(place);
    });
    this.list.expired = () => this.load();
    this.active = 0;
    this.rows = new VirtualRows({
      label: "Captions", role: "list", rowHeight: () => 116, makeRow: (place) => this.makeRow(place),
      shown: (first, last) => this.list.total && this.list.need(first, Math.min(this.list.total - 1, last + 10)),
    });
    this.search = element("input", { type: "search", placeholder: "Search captions  /", "aria-label": "Search captions", maxLength: 200, oninput: settled(() => this.load(), 250) });
    this.found = element("span.found", { role: "status" });
    this.trigger = element("input", { type: "text", "aria-label": "Trigger word", placeholder: "Trigger word", maxLength: 200, onchange: () => change("api/trigger", { trigger: this.trigger.value.trim() }) });
    this.find = element("input", { type: "text", "aria-label": "Find", placeholder: "Find", maxLength: 1000, oninput: settled(() => this.count(), 250) });
    this.replace = element("input", { type: "text", "aria-label": "Replace with", placeholder: "Replace with", maxLength: 1000, oninput: settled(() => this.count(), 250) });
    this.matchCase = element("input", { type: "checkbox", checked: true, onchange: () => this.count() });
    this.button = element("button.primary", { type: "button", disabled: true, onclick: () => this.replaceAll() }, "Replace");
    this.examples = element("ul.examples", { role: "status" });
    this.words = element("div.words", { role: "list", "aria-label": "Words" });
    const tools = element("aside.side", {},
      element("h2", {}, "Trigger word"), this.trigger,
      element("p.note", {}, "In front of every caption in shards and exports; written into the manifest."),
      element("h2", {}, "Find and replace"), this.find, this.replace,
      element("label.check", {}, this.matchCase, "Match case"), this.button, this.examples,
      element("h2", {}, "Words"), this.words);
    this.element = element("section.captions", { "aria-label": "Captions" },
      element("div.filters", {}, this.search, element("span.note.wide", {}, "Enter edits · Esc leaves"), this.found),
      element("div.middle", {}, this.rows.element, tools));
  }

  async activate() {
    this.rows.renew();
    this.trigger.value = this.app.overview?.trigger ?? "";
    this.trigger.disabled = Boolean(this.app.overview?.packaged);
    this.rows.element.focus({ preventScroll: true }); // before the answers come: by then a caption may be written
    await Promise.all([this.load(), this.loadWords()]);
  }

  overviewChanged(overview) {
    if (document.activeElement !== this.trigger) this.trigger.value = overview.trigger;
  }

  async load() {
    try {
      if (!(await this.list.open({ verdict: "kept", words: this.search.value.trim() }))) return;
    } catch (error) {
      tell(error.message, true);
      return;
    }
    this.active = Math.min(this.active, Math.max(0, this.list.total - 1));
    this.found.textContent = counted(this.list.total, "kept photo");
    this.rows.setCount(this.list.total);
    this.showActive();
  }

  async loadWords() {
    const found = await get("api/words");
    this.words.replaceChildren(...found.map(({ word, captions }) => element("button.word", {
      type: "button", role: "listitem", onclick: () => { this.search.value = word; this.load(); },
    }, word, element("span", {}, captions.toLocaleString("en")))));
  }

  makeRow(place) {
    const photo = this.list.at(place);
    if (!photo) return element("div.caption-row", { role: "listitem" });
    const text = element("textarea", { value: photo.caption ?? "", "aria-label": `Caption of ${photo.person}, ${photo.file}`, maxLength: 20000, rows: 3, placeholder: "No caption", tabIndex: -1 });
    text.addEventListener("focus", () => { this.active = place; this.showActive(); });
    text.addEventListener("change", () => {
      photo.caption = text.value;
      change("api/caption", { captions: { [photo.sha256]: text.value } });
    });
    text.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape") text.value = photo.caption ?? "";
      if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) {
        event.preventDefault();
        text.blur();
        this.rows.element.focus({ preventScroll: true });
        if (event.key === "Enter") this.move(place + 1);
      }
    });
    return element("div.caption-row", { role: "listitem", id: `caption-${place}`, "aria-label": photo.caption || "no caption" },
      element("img", { alt: "", loading: "lazy", src: `thumbnail/${photo.sha256}` }),
      element("div.text", {}, element("span.note", {}, `${photo.person} · ${photo.file}`), text));
  }

  showActive() {
    for (const row of this.rows.space.children) row.classList.toggle("active", row.id === `caption-${this.active}`);
    this.rows.element.setAttribute("aria-activedescendant", `caption-${this.active}`);
  }

  move(to) {
    this.active = Math.max(0, Math.min(this.list.total - 1, to));
    this.rows.reveal(this.active);
    this.showActive();
  }

  async count() {
    const find = this.find.value;
    const body = { id: crypto.randomUUID(), find, replace: this.replace.value, match_case: this.matchCase.checked };
    this.counted = null;
    if (!find) {
      this.button.disabled = true;
      this.button.textContent = "Replace";
      this.examples.replaceChildren();
      return;
    }
    const { photos, examples } = await post("api/replace", body);
    if (this.find.value !== find) return;
    this.counted = { ...body, photos };
    this.button.disabled = !photos;
    this.button.textContent = `Replace in ${counted(photos, "caption")}`;
    this.examples.replaceChildren(...examples.map((one) => element("li", {}, one.caption)));
  }

  async replaceAll() {
    const { id, photos, ...body } = this.counted ?? {};
    if (!photos) return;
    const text = `“${body.find}” becomes “${body.replace}” in ${counted(photos, "caption")}, which are then captions by hand. Undo takes it back.`;
    if ((await dialogs.open("Replace", element("p", {}, text), [["", "Cancel"], ["yes", "Replace"]])) === "yes")
      change("api/replace", { ...body, apply: true });
  }

  async refresh() {
    const { element: scroller } = this.rows;
    await this.list.renew(Math.floor(scroller.scrollTop / 116), Math.floor((scroller.scrollTop + scroller.clientHeight) / 116));
    await Promise.all([this.loadWords(), this.count()]);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey) return false;
    const run = {
      ArrowDown: () => this.move(this.active + 1), ArrowUp: () => this.move(this.active - 1),
      PageDown: () => this.move(this.active + 6), PageUp: () => this.move(this.active - 6),
      Home: () => this.move(0), End: () => this.move(this.list.total - 1), "/": () => this.search.focus(),
      Enter: () => this.edit(), c: () => this.edit(), r: () => this.app.reload(),
    }[event.key];
    if (!run) return false;
    run();
    return true;
  }

  edit() {
    byId(`caption-${this.active}`)?.querySelector("textarea").focus();
  }
}
