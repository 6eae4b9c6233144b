// The grid of photos, its filters, and what is done with what is selected.

import { change } from "./api.js";
import * as dialogs from "./dialogs.js";
import { byId, counted, element, settled, short, tell, words } from "./dom.js";
import { Inspector } from "./inspector.js";
import { PhotoList } from "./photolist.js";
import { VirtualRows } from "./virtual.js";

const GAP = 8;
const FLING = 90; // milliseconds without scrolling after which thumbnails are asked for

export class PhotosView {
  constructor(app) {
    this.app = app;
    this.list = new PhotoList((first, last) => this.redraw(first, last));
    this.list.expired = () => this.load(true);
    this.active = 0;
    this.anchor = 0;
    this.query = { person: "", verdict: "all", reason: "", decided: "any", words: "", sort: "person", suspects: false };
    this.rows = new VirtualRows({
      label: "Photos", role: "listbox", rowHeight: () => this.rowHeight(), makeRow: (row) => this.makeRow(row),
      shown: (first, last) => this.shown(first, last),
    });
    this.rows.element.setAttribute("aria-multiselectable", "true");
    this.rows.element.classList.add("grid");
    this.fill = settled(() => this.fillImages(), FLING);
    this.inspector = new Inspector(this);
    this.makeFilters();
    this.empty = element("p.empty", { hidden: true });
    this.actions = element("div.actions", { role: "toolbar", "aria-label": "Selected photos", hidden: true });
    const middle = element("div.middle", {}, this.rows.element, this.inspector.element);
    this.element = element("section.photos", { "aria-label": "Photos" }, this.filters, this.empty, middle, this.actions);
  }

  makeFilters() {
    const pick = (name, label, options) => {
      const select = element("select", { "aria-label": label, onchange: () => this.set({ [name]: select.value }) },
        options.map(([value, text]) => element("option", { value }, text)));
      return select;
    };
    this.person = element("input", {
      type: "search", placeholder: "Everybody", "aria-label": "Person", list: "people-list", autocomplete: "off",
      onchange: () => this.choosePerson(),
    });
    this.people = element("datalist", { id: "people-list" });
    this.verdict = element("div.segments", { role: "radiogroup", "aria-label": "Verdict" },
      [["all", "All"], ["kept", "Kept"], ["out", "Out"]].map(([value, text]) => element("button", {
        type: "button", role: "radio", "data-value": value, onclick: () => this.set({ verdict: value }),
      }, text)));
    this.reason = pick("reason", "Reason", [["", "Any reason"]]);
    this.decided = pick("decided", "By hand", [["any", "By hand or not"], ["no", "Undecided"], ["yes", "Decided by hand"]]);
    this.sort = pick("sort", "Order", [["person", "By person"], ["margin", "Closest to a threshold"], ["date", "Newest"]]);
    this.search = element("input", {
      type: "search", placeholder: "Search captions  /", "aria-label": "Search captions", maxLength: 200,
      oninput: settled(() => this.set({ words: this.search.value.trim() }), 250),
    });
    this.suspects = element("button.toggle", {
      type: "button", "aria-pressed": "false", hidden: true, onclick: () => this.set({ suspects: !this.query.suspects }),
    }, "Suspects");
    this.found = element("span.found", { role: "status" });
    this.filters = element("div.filters", { role: "search" },
      this.person, this.people, this.verdict, this.reason, this.decided, this.sort, this.suspects, this.search, this.found);
  }

  choosePerson() {
    const typed = this.person.value.trim();
    const person = this.app.personOf(typed);
    if (typed && !person) tell(`Nobody is called ${typed}.`, true);
    else this.set({ person: person ?? "" });
  }

  set(changes) {
    this.query = { ...this.query, ...changes };
    return this.load();
  }

  showFilters() {
    const { query } = this;
    this.person.value = query.person;
    this.decided.value = query.decided;
    this.sort.value = query.sort;
    this.reason.value = query.reason;
    if (document.activeElement !== this.search) this.search.value = query.words;
    for (const button of this.verdict.children) button.setAttribute("aria-checked", String(button.dataset.value === query.verdict));
    this.suspects.setAttribute("aria-pressed", String(query.suspects));
  }

  overviewChanged(overview) {
    this.suspects.hidden = overview.identity === null;
    this.people.replaceChildren(...overview.people.slice(0, 3000).map((row) =>
      element("option", { value: row.person }, row.name ?? "")));
    const counts = overview.funnel.reasons;
    const options = Object.keys(counts).map((reason) =>
      element("option", { value: reason }, `${words(reason)} (${counts[reason].toLocaleString("en")})`));
    if (this.query.reason && !(this.query.reason in counts))
      options.push(element("option", { value: this.query.reason }, words(this.query.reason)));
    this.reason.replaceChildren(element("option", { value: "" }, "Any reason"), ...options);
    this.reason.value = this.query.reason;
  }

  async load(stay = false) {
    this.showFilters();
    try {
      if (!(await this.list.open({ ...this.query }))) return;
    } catch (error) {
      tell(error.message, true);
      return;
    }
    if (!stay) {
      this.active = this.anchor = 0;
      this.rows.element.scrollTop = 0;
    }
    this.active = Math.min(this.active, Math.max(0, this.list.total - 1));
    this.found.textContent = counted(this.list.total, "photo");
    this.empty.hidden = this.list.total > 0;
    this.empty.textContent = !this.app.overview || this.app.overview.funnel.photos ? "No photo is like that." : "Nothing was judged yet: run `bolid filter` first.";
    this.rows.setCount(Math.ceil(this.list.total / this.columns()));
    this.selectionChanged();
    this.inspector.follow();
  }

  // Layout

  columns() {
    const width = this.rows.element.clientWidth || 1000;
    return Math.max(width < 480 ? 3 : 2, Math.floor((width + GAP) / (width < 480 ? 124 : 164 + GAP)));
  }

  rowHeight() {
    const width = (this.rows.element.clientWidth - GAP) / this.columns() - GAP;
    if (this.laidOut !== this.columns()) {
      this.laidOut = this.columns();
      this.rows.count = Math.ceil(this.list.total / this.laidOut);
    }
    return Math.round((width * 4) / 3) + GAP;
  }

  makeRow(row) {
    const columns = this.columns();
    const places = Array.from({ length: columns }, (_, index) => row * columns + index);
    const tiles = places.filter((place) => place < this.list.total).map((place) => this.makeTile(place));
    const made = element("div.row", { role: "presentation" }, tiles);
    made.style.height = `${this.rowHeight() - GAP}px`;
    made.style.gridTemplateColumns = `repeat(${columns}, 1fr)`;
    return made;
  }

  makeTile(place) {
    const photo = this.list.at(place);
    const tile = element("div.tile", {
      role: "option", id: `photo-${place}`, "data-place": place, "aria-posinset": place + 1,
      "aria-setsize": this.list.total, "aria-selected": String(this.list.selected.has(place)),
      onclick: (event) => this.clicked(event, place), ondblclick: () => this.inspector.enlarge(),
    });
    if (place === this.active) tile.classList.add("active");
    if (!photo) return tile;
    const verdict = photo.kept === null ? "unjudged" : photo.kept ? "kept" : "out";
    tile.classList.add(verdict);
    tile.setAttribute("aria-label", describe(photo));
    const image = element("img", { alt: "", decoding: "async", onerror: () => image.classList.add("missing") });
    image.dataset.source = `thumbnail/${photo.sha256}`;
    const why = photo.kept === false ? photo.reasons.map(words).join(", ") : "";
    const margin = this.query.sort === "margin" && photo.margin !== null ? this.marginText(photo.margin) : "";
    tile.append(image, element("span.check", {
      "aria-hidden": "true", onclick: (event) => this.toggled(event, place),
    }, "✓"));
    const text = [why, margin].filter(Boolean).join("  ");
    if (text) tile.append(element("span.why", {}, text));
    const mark = photo.keep === true ? "kept by hand" : photo.keep === false ? "rejected by hand" : photo.assigned ? "assigned" : "";
    if (mark) {
      const sign = photo.keep === true ? "✓" : photo.keep === false ? "✕" : "→";
      tile.append(element("span.mark", { title: mark }, sign));
      tile.classList.add(photo.keep === true ? "by-hand-kept" : photo.keep === false ? "by-hand-out" : "by-hand");
    }
    if (!this.query.person) tile.append(element("span.person", {}, photo.person));
    return tile;
  }

  marginText(margin) {
    return this.query.reason ? `${margin >= 0 ? "+" : "−"}${short(Math.abs(margin))}` : `${short(margin * 100)} %`;
  }

  shown(first, last) {
    const columns = this.columns();
    this.firstPlace = first * columns;
    this.lastPlace = Math.min(this.list.total, (last + 1) * columns) - 1;
    if (this.list.total) this.list.need(Math.max(0, this.firstPlace - columns * 4), Math.min(this.list.total - 1, this.lastPlace + columns * 4));
    this.fill();
  }

  fillImages() {
    for (const image of this.rows.space.querySelectorAll("img[data-source]")) {
      image.src = image.dataset.source;
      delete image.dataset.source;
    }
  }

  /** Draws rows again that show these places. */
  redraw(first, last) {
    const columns = this.columns();
    const pictures = new Map([...this.rows.space.querySelectorAll("img[src]")].map((image) => [image.getAttribute("src"), image]));
    for (let row = Math.floor(first / columns); row <= Math.floor(last / columns); row++) {
      if (!this.rows.rows.has(row)) continue;
      this.rows.renewRow(row);
      // A picture that is there already stays, and does not flicker.
      for (const fresh of this.rows.rows.get(row).querySelectorAll("img[data-source]")) {
        const old = pictures.get(fresh.dataset.source);
        if (old) fresh.replaceWith(old);
      }
    }
    this.fill();
    this.showActive();
    if (this.active >= first && this.active <= last) this.inspector.follow();
  }

  // Moving and selecting

  showActive() {
    for (const tile of this.rows.space.querySelectorAll(".tile.active")) tile.classList.remove("active");
    byId(`photo-${this.active}`)?.classList.add("active");
    this.rows.element.setAttribute("aria-activedescendant", `photo-${this.active}`);
  }

  move(to, extend = false) {
    if (!this.list.total) return;
    to = Math.max(0, Math.min(this.list.total - 1, to));
    if (extend) {
      const [low, high] = [Math.min(this.anchor, to), Math.max(this.anchor, to)];
      this.list.selected.clear();
      for (let place = low; place <= high; place++) this.list.selected.add(place);
      this.selectionChanged();
    } else this.anchor = to;
    this.active = to;
    this.rows.reveal(Math.floor(to / this.columns()));
    this.showActive();
    this.inspector.follow();
  }

  clicked(event, place) {
    this.rows.element.focus({ preventScroll: true });
    if (event.shiftKey) this.move(place, true);
    else if (event.ctrlKey || event.metaKey || this.list.selected.size) this.toggle(place);
    else if (place === this.active && matchMedia("(max-width: 720px)").matches) this.inspector.enlarge();
    else this.move(place);
  }

  toggled(event, place) {
    event.stopPropagation();
    this.toggle(place);
  }

  toggle(place) {
    if (!this.list.selected.delete(place)) this.list.selected.add(place);
    this.anchor = place;
    this.move(place);
    this.selectionChanged();
  }

  selectionChanged() {
    const { selected } = this.list;
    for (const tile of this.rows.space.querySelectorAll(".tile"))
      tile.setAttribute("aria-selected", String(selected.has(Number(tile.dataset.place))));
    this.actions.hidden = !selected.size;
    this.element.classList.toggle("selecting", selected.size > 0);
    if (!selected.size) return;
    const button = (text, key, run) => element("button", { type: "button", onclick: run, title: `${text} (${key})` }, text);
    this.actions.replaceChildren(
      element("span", { role: "status" }, `${counted(selected.size, "photo")} selected`),
      button("Keep", "k", () => this.decide("keep")), button("Reject", "x", () => this.decide("reject")),
      button("Not this person", "p", () => this.decide("reject", { why: "not this person" })),
      button("Assign…", "a", () => this.assign()), button("Split off…", "s", () => this.assign(true)),
      button("Clear", "Esc", () => this.clearSelection()));
  }

  clearSelection() {
    this.list.selected.clear();
    this.selectionChanged();
    this.rows.element.focus({ preventScroll: true });
  }

  // Deciding

  async decide(what, more = {}) {
    const many = this.list.selected.size > 0;
    const photos = await this.list.chosen(this.active);
    if (!photos.length) return;
    this.showDecided(what, photos, more.person);
    change("api/decide", { what, photos, ...more });
    tell(`${{ keep: "Kept", reject: more.why ? "Rejected: " + more.why : "Rejected", assign: `Assigned to ${more.person}:`, clear: "Decisions taken back:" }[what]} ${many ? counted(photos.length, "photo") : ""}`.trim());
    if (many) this.clearSelection();
    else if (what !== "clear") this.move(this.active + 1);
  }

  /** At once, before the server has answered. */
  showDecided(what, photos, person) {
    const decided = new Set(photos);
    for (const page of this.list.pages.values()) {
      for (const photo of page) {
        if (!decided.has(photo.sha256)) continue;
        if (what === "keep") Object.assign(photo, { kept: true, reasons: [], keep: true });
        if (what === "reject") Object.assign(photo, { kept: false, reasons: [...new Set([...photo.reasons, "rejected"])], keep: false });
        if (what === "assign") Object.assign(photo, { person, assigned: true });
        if (what === "clear") Object.assign(photo, { keep: null, assigned: false });
      }
    }
    this.redraw(this.firstPlace ?? 0, this.lastPlace ?? 0);
  }

  async assign(fresh = false) {
    const photos = await this.list.chosen(this.active);
    if (!photos.length) return;
    const title = fresh ? `A new person for ${counted(photos.length, "photo")}` : `Assign ${counted(photos.length, "photo")}`;
    const answer = await dialogs.askPerson(title, this.app.overview.people, { fresh });
    if (answer) await this.decide("assign", { person: answer.person, new: answer.isNew });
    this.rows.element.focus({ preventScroll: true });
  }

  async nextUndecided() {
    const { place } = await this.app.get(`api/view/${this.list.view}/next`, { after: this.active });
    if (place === null) tell("Every photo of this list is decided on.");
    else this.move(place);
  }

  /** After the server has made a change. */
  async refresh() {
    await this.list.renew(Math.max(0, this.firstPlace ?? 0), Math.max(0, this.lastPlace ?? 0));
    this.inspector.follow(true);
  }

  activate() {
    this.rows.renew();
    this.showActive();
    this.rows.element.focus({ preventScroll: true });
  }

  key(event) {
    const columns = this.columns();
    const page = Math.max(1, Math.floor(this.rows.element.clientHeight / this.rowHeight())) * columns;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -page, PageDown: page };
    if (event.key in steps) return this.move(this.active + (this.inspector.isLarge && Math.abs(steps[event.key]) > 1 ? Math.sign(steps[event.key]) : steps[event.key]), event.shiftKey);
    if (event.key === "Home") return this.move(0, event.shiftKey);
    if (event.key === "End") return this.move(this.list.total - 1, event.shiftKey);
    if ((event.ctrlKey || event.metaKey) && event.key === "a") {
      for (let place = 0; place < this.list.total; place++) this.list.selected.add(place);
      return this.selectionChanged();
    }
    if (event.ctrlKey || event.metaKey) return false;
    const run = {
      " ": () => this.toggle(this.active), k: () => this.decide("keep"), x: () => this.decide("reject"),
      p: () => this.decide("reject", { why: "not this person" }), d: () => this.decide("clear"),
      a: () => this.assign(), s: () => this.assign(true), n: () => this.nextUndecided(), w: () => this.inspector.toggle(),
      b: () => this.inspector.toggleOutlines(), c: () => this.inspector.editCaption(), Enter: () => this.inspector.enlarge(),
      "/": () => this.search.focus(), r: () => this.app.reload(),
      Escape: () => (this.inspector.isLarge ? this.inspector.shrink() : this.list.selected.size ? this.clearSelection() : this.inspector.close()),
    }[event.key];
    if (!run) return false;
    run();
    return true;
  }
}

export function describe(photo) {
  const verdict = photo.kept === null ? "not judged yet" : photo.kept ? "kept" : `out: ${photo.reasons.map(words).join(", ")}`;
  const hand = photo.keep === null ? "" : ", decided by hand";
  return `${photo.person}, ${photo.file}: ${verdict}${hand}`;
}
