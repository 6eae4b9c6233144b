// The page: its views, its keys, and what is told after every change.

import { change, get, onChange, resume, waiting } from "./api.js";
import { CaptionsView } from "./captions.js";
import * as dialogs from "./dialogs.js";
import { byId, counted, tell } from "./dom.js";
import { PeopleView } from "./people.js";
import { PhotosView } from "./photos.js";
import { ThresholdsView } from "./thresholds.js";

const ORDER = ["photos", "people", "captions", "thresholds"];
const POLL = 5000; // milliseconds

class App {
  constructor() {
    this.get = get;
    this.overview = null;
    this.views = {
      photos: new PhotosView(this), people: new PeopleView(this), captions: new CaptionsView(this), thresholds: new ThresholdsView(this),
    };
  }

  async start() {
    if (location.search.includes("token=")) history.replaceState(null, "", "/"); // it is in a cookie now
    for (const tab of byId("tabs").children) tab.addEventListener("click", () => this.show(tab.dataset.view));
    byId("undo").addEventListener("click", () => this.undo());
    byId("redo").addEventListener("click", () => this.redo());
    byId("help").addEventListener("click", () => dialogs.showKeys());
    byId("changed").addEventListener("click", () => this.reload());
    byId("stale").addEventListener("click", () => dialogs.showStale(this.stale));
    document.addEventListener("keydown", (event) => this.key(event));
    onChange((answer, made, error) => this.changed(answer, made, error));
    this.show("photos");
    await this.views.photos.load(); // before anything else asks the catalog
    await this.loadOverview();
    document.body.dataset.ready = "true";
    this.loadStale();
    resume();
    setInterval(() => this.poll(), POLL);
  }

  show(name) {
    this.shown = name;
    for (const tab of byId("tabs").children) {
      const isShown = tab.dataset.view === name;
      tab.setAttribute("aria-selected", String(isShown));
      tab.tabIndex = isShown ? 0 : -1;
    }
    byId("main").replaceChildren(this.view.element);
    byId("main").setAttribute("aria-labelledby", `tab-${name}`);
    this.view.activate();
  }

  get view() {
    return this.views[this.shown];
  }

  showPerson(person, suspects = false) {
    this.show("photos");
    this.views.photos.set({ person, suspects, verdict: "all", reason: "", decided: "any", words: "" });
  }

  /** The slug of who is called so, by slug or by name. */
  personOf(text) {
    const people = this.overview?.people ?? [];
    return (people.find((row) => row.person === text) ?? people.find((row) => row.name === text))?.person;
  }

  async loadOverview() {
    try {
      this.overview = await get("api/overview");
    } catch (error) {
      tell(error.message, true);
      return;
    }
    const { overview } = this;
    document.title = `${overview.name} – BoLID review`;
    byId("name").textContent = overview.name;
    const { photos, kept } = overview.funnel;
    byId("counts").textContent = `${kept.toLocaleString("en")} kept · ${(photos - kept).toLocaleString("en")} out`;
    byId("redo").disabled = !overview.can_redo;
    this.revision = overview.revision;
    byId("changed").hidden = true;
    for (const view of Object.values(this.views)) view.overviewChanged(overview);
  }

  async loadStale() {
    try {
      this.stale = await get("api/stale");
    } catch {
      return; // told by whatever else is asked for
    }
    const { shards, runs, decisions, photos } = this.stale;
    const parts = [shards.length && counted(shards.length, "stale shard"), runs.length && counted(runs.length, "stale run"),
      !photos && decisions && `shards lack ${counted(decisions, "decision")}`].filter(Boolean);
    byId("stale").hidden = !parts.length;
    byId("stale").textContent = parts.join(" · ");
  }

  async poll() {
    if (waiting() || document.hidden) return;
    try {
      const { revision } = await get("api/revision");
      byId("changed").hidden = revision === this.revision || waiting() > 0;
    } catch {
      tell("The server has ended; start `bolid review` again.", true);
    }
  }

  async reload() {
    await this.loadOverview();
    await (this.view.load ? this.view.load(true) : this.view.activate());
    this.loadStale();
  }

  undo() {
    change("api/undo", {});
  }

  redo() {
    change("api/redo", {});
  }

  async changed(answer, made, error) {
    if (waiting()) return; // more follows; the last one draws
    if (answer && (made.path === "api/undo" || made.path === "api/redo")) {
      const verb = made.path === "api/undo" ? "Undone" : "Done again";
      tell(`${verb}: ${answer.what} of ${counted(answer.photos, "photo")}`);
    }
    if (answer && made.path === "api/merge") tell(`${counted(answer.photos, "photo")} of ${made.body.person} are now ${made.body.into}'s`);
    if (answer && made.path === "api/replace") tell(`Replaced in ${counted(answer.photos, "caption")}`);
    if (answer && made.path === "api/apply") tell(`Applied: +${answer.gained}, −${answer.lost}`);
    await this.view.refresh(made.path, error);
    await this.loadOverview();
    if (this.shown === "people") await this.view.activate();
    await this.loadStale();
    document.body.dataset.changes = String(Number(document.body.dataset.changes ?? 0) + 1);
  }

  key(event) {
    if (document.querySelector("dialog[open]") || event.altKey || event.isComposing) return;
    const field = event.target.closest?.("input, textarea, select");
    if (field) {
      if (event.key === "Escape") {
        field.blur();
        this.view.rows?.element.focus({ preventScroll: true });
      }
      return;
    }
    const isCommand = event.ctrlKey || event.metaKey;
    const lower = event.key.toLowerCase();
    if (event.target.closest?.("button") && (event.key === "Enter" || event.key === " ")) return;
    if (event.target.closest?.("[role=tablist]") && event.key.startsWith("Arrow")) return this.stepTab(event);
    let done = true;
    if (isCommand && lower === "z") event.shiftKey ? this.redo() : this.undo();
    else if (!isCommand && event.key === "u") this.undo();
    else if (!isCommand && event.key === "U") this.redo();
    else if (event.key === "?") dialogs.showKeys();
    else if (!isCommand && ORDER[Number(event.key) - 1]) this.show(ORDER[Number(event.key) - 1]);
    else done = this.view.key(event) !== false;
    if (done) event.preventDefault();
  }

  stepTab(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const next = ORDER[(ORDER.indexOf(this.shown) + step + ORDER.length) % ORDER.length];
    this.show(next);
    byId(`tab-${next}`).focus();
    event.preventDefault();
  }
}

new App().start();
