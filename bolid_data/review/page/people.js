// Everybody, with the share of photos that are kept; merging two people; whom the identity model suspects.

import { change, get } from "./api.js";
import * as dialogs from "./dialogs.js";
import { byId, counted, element, tell } from "./dom.js";
import { VirtualRows } from "./virtual.js";

export class PeopleView {
  constructor(app) {
    this.app = app;
    this.people = [];
    this.active = 0;
    this.search = element("input", { type: "search", placeholder: "Find a person  /", "aria-label": "Find a person", oninput: () => this.draw() });
    this.found = element("span.found", { role: "status" });
    this.rows = new VirtualRows({ label: "People", role: "listbox", rowHeight: () => (innerWidth < 720 ? 74 : 58), makeRow: (index) => this.makeRow(index) });
    this.suspects = element("div.suspects", { hidden: true });
    const help = element("span.note.wide", {}, "Enter shows the photos · m merges into another person");
    this.element = element("section.people", { "aria-label": "People" },
      element("div.filters", {}, this.search, help, this.found), this.suspects, this.rows.element);
  }

  async activate() {
    this.draw();
    this.rows.element.focus({ preventScroll: true });
    if (this.app.overview?.identity) {
      try {
        this.showSuspects(await get("api/suspects"));
      } catch (error) {
        tell(error.message, true);
      }
    }
  }

  overviewChanged() {
    this.draw();
  }

  draw() {
    const wanted = this.search.value.trim().toLowerCase();
    this.people = (this.app.overview?.people ?? []).filter((row) =>
      !wanted || row.person.includes(wanted) || (row.name ?? "").toLowerCase().includes(wanted));
    this.active = Math.max(0, Math.min(this.active, this.people.length - 1));
    this.found.textContent = counted(this.people.length, "person", "people");
    this.rows.setCount(this.people.length);
    this.showActive();
  }

  makeRow(index) {
    const row = this.people[index];
    const min = this.app.overview.min_photos;
    const share = row.photos ? (100 * row.kept) / row.photos : 0;
    const meter = element("span.meter.kept", { "aria-hidden": "true" }, element("i", {}));
    meter.firstChild.style.width = `${share}%`;
    const few = row.kept < min ? element("span.badge.reason", {}, `needs ${min}`) : null;
    return element("div.person-row", {
      role: "option", id: `person-${index}`, "aria-selected": String(index === this.active),
      "aria-label": `${row.name || row.person}: ${row.kept} of ${counted(row.photos, "photo")} kept`,
      onclick: () => this.move(index), ondblclick: () => this.app.showPerson(row.person),
    },
      element("span.names", {}, element("strong", {}, row.name || row.person), element("span.note", {}, row.person)),
      meter, element("span.numbers", {}, `${row.kept} of ${row.photos}`), few,
      element("span.buttons", {},
        element("button", { type: "button", tabIndex: -1, onclick: (event) => { event.stopPropagation(); this.app.showPerson(row.person); } }, "Photos"),
        element("button", { type: "button", tabIndex: -1, onclick: (event) => { event.stopPropagation(); this.merge(row.person); } }, "Merge…")));
  }

  showActive() {
    for (const row of this.rows.space.children) row.setAttribute("aria-selected", String(row.id === `person-${this.active}`));
    this.rows.element.setAttribute("aria-activedescendant", `person-${this.active}`);
  }

  move(to) {
    this.active = Math.max(0, Math.min(this.people.length - 1, to));
    this.rows.reveal(this.active);
    this.showActive();
  }

  async merge(person) {
    const others = this.app.overview.people.filter((row) => row.person !== person);
    const text = `All photos of ${person} become those of the person you name. Undo takes it back.`;
    const answer = await dialogs.askPerson(`Merge ${person}`, others, { text, allowNew: false });
    if (answer) this.mergeInto(person, this.app.personOf(answer.person));
    this.rows.element.focus({ preventScroll: true });
  }

  mergeInto(person, into) {
    change("api/merge", { person, into });
    tell(`Merging ${person} into ${into}`);
  }

  showSuspects({ one_person: pairs, two_people: doubles, model }) {
    const photos = (sha256s) => element("div.strip", {}, sha256s.slice(0, 6).map((sha256) => element("img", { alt: "", loading: "lazy", src: `thumbnail/${sha256}` })));
    const cards = [
      ...pairs.slice(0, 20).map(({ people: [one, other], likeness }) => element("article.card", {},
        element("p", {}, element("strong", {}, one), " and ", element("strong", {}, other), ` look like one person (${likeness.toFixed(2)}).`),
        element("div.buttons", {},
          element("button", { type: "button", onclick: () => this.app.showPerson(one) }, `Photos of ${one}`),
          element("button", { type: "button", onclick: () => this.app.showPerson(other) }, `Photos of ${other}`),
          element("button", { type: "button", onclick: () => this.mergeInto(one, other) }, `Merge into ${other}`)))),
      ...doubles.slice(0, 20).map(({ person, photos: second, likeness }) => element("article.card", {},
        element("p", {}, element("strong", {}, person), ` looks like two people (${likeness.toFixed(2)}): ${counted(second.length, "photo")} of another.`),
        photos(second),
        element("div.buttons", {},
          element("button", { type: "button", onclick: () => this.app.showPerson(person, true) }, "Show them"),
          element("button", { type: "button", onclick: () => change("api/decide", { what: "reject", photos: second, why: "not this person" }) }, "Not this person"),
          element("button", { type: "button", onclick: () => this.split(person, second) }, "Split off…")))),
    ];
    this.suspects.hidden = !cards.length;
    this.suspects.replaceChildren(element("h2", {}, "Suspects"), element("p.note", {}, `By ${model ?? "the identity model"}; nothing is decided by them.`), element("div.cards", {}, cards));
  }

  async split(person, photos) {
    const answer = await dialogs.askPerson(`Split ${counted(photos.length, "photo")} off ${person}`, this.app.overview.people, { fresh: true });
    if (answer) change("api/decide", { what: "assign", photos, person: answer.person, new: answer.isNew });
  }

  refresh() {}

  key(event) {
    if (event.ctrlKey || event.metaKey) return false;
    const row = this.people[this.active];
    const run = {
      ArrowDown: () => this.move(this.active + 1), ArrowUp: () => this.move(this.active - 1),
      PageDown: () => this.move(this.active + 10), PageUp: () => this.move(this.active - 10),
      Home: () => this.move(0), End: () => this.move(this.people.length - 1), "/": () => this.search.focus(),
      Enter: () => row && this.app.showPerson(row.person), m: () => row && this.merge(row.person), r: () => this.app.reload(),
    }[event.key];
    if (!run) return false;
    run();
    return true;
  }
}
