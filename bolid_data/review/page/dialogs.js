// Dialogs: questions, the list of keys, what is stale.

import { byId, counted, element } from "./dom.js";

/** Opens a dialog. Resolves to the `returnValue` of its form: "" where it was cancelled. */
export function open(title, content, buttons = [["", "Close"]], classes = "") {
  return new Promise((resolve) => {
    const row = buttons.map(([value, text], index) =>
      element(`button${index === buttons.length - 1 ? ".primary" : ""}`, { value, type: "submit" }, text));
    const heading = element("h2", { id: "dialog-title" }, title);
    const form = element("form", { method: "dialog" }, heading, content, element("div.buttons", {}, row));
    const dialog = element(`dialog${classes}`, { "aria-labelledby": "dialog-title" }, form);
    // Enter takes the last button, not the first as browsers do.
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.target.tagName !== "INPUT") return;
      event.preventDefault();
      if (form.reportValidity()) dialog.close(buttons.at(-1)[0]);
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Asks for a person. Resolves to {person, isNew}, or null. */
export async function askPerson(title, people, { text = "", allowNew = true, fresh = false } = {}) {
  const names = new Set(people.flatMap((row) => [row.person, row.name]));
  const list = element("datalist", { id: "everybody" }, people.slice(0, 2000).map((row) =>
    element("option", { value: row.person }, row.name ?? "")));
  const input = element("input", { type: "text", required: true, maxLength: 200, autocomplete: "off", list: "everybody" });
  const note = element("p.note", { role: "status" });
  input.addEventListener("input", () => {
    const isNew = input.value.trim() && !names.has(input.value.trim());
    note.textContent = isNew ? (allowNew ? "Nobody has this name yet: adds a new person." : "Nobody has this name.") : "";
    input.setCustomValidity(isNew && !allowNew ? "Nobody has this name." : "");
  });
  const label = element("label.field", {}, fresh ? "Name of the new person" : "Person, by slug or name", input, list);
  const answer = await open(title, element("div", {}, text && element("p", {}, text), label, note), [["", "Cancel"], ["yes", "Assign"]]);
  const person = input.value.trim();
  return answer === "yes" && person ? { person, isNew: !names.has(person) } : null;
}

const KEYS = [
  ["Arrows, Home, End, Page", "move"], ["Space", "select"], ["Shift with arrows", "select many"],
  ["Ctrl-A", "select all of the list"], ["k", "keep"], ["x", "reject"], ["p", "not this person: reject as that"],
  ["a", "assign to a person"], ["d", "take back what was decided"], ["u or Ctrl-Z", "undo"],
  ["Shift-U or Ctrl-Shift-Z", "redo"], ["n", "next photo without a decision"], ["w", "why: explain"],
  ["Enter", "large"], ["b", "boxes and joints"], ["c", "edit the caption"], ["/", "search"], ["r", "reload the list"],
  ["1 2 3 4", "photos, people, captions, thresholds"], ["Esc", "close, or clear the selection"], ["?", "these keys"],
];

export function showKeys() {
  const rows = KEYS.map(([key, does]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, does)]);
  return open("Keys", element("dl.keys", {}, rows));
}

export function showStale(stale) {
  const lines = [];
  if (stale.photos) {
    const why = Object.entries(stale.reasons).map(([reason, photos]) => `${reason.replaceAll("_", " ")} ${photos}`);
    lines.push(`${counted(stale.photos, "photo")} in the shards withdrawn since (${why.join(", ")}): ${stale.shards.join(", ")}`);
  }
  if (stale.decisions) lines.push(`${counted(stale.decisions, "decision")} made since the shards were written`);
  if (stale.features.length) lines.push(`Features: ${stale.features.join(", ")}`);
  if (stale.runs.length) lines.push(`Runs trained on what was withdrawn: ${stale.runs.join(", ")}`);
  if (stale.problem) lines.push(stale.problem);
  const next = stale.next.length ? element("p", {}, "Next: ", element("code", {}, stale.next.map((step) => `bolid ${step}`).join(", then "))) : null;
  return open("Stale", element("div", {}, element("ul", {}, lines.map((line) => element("li", {}, line))), next));
}

export const isOpen = () => Boolean(document.querySelector("dialog[open]")) || !byId("main");
