// Elements, built without markup: text from a dataset only ever becomes text.

/** element("button.chip", {onclick, "aria-label": "…"}, "text", child, …) */
export function element(selector, attributes = {}, ...children) {
  const [tag, ...classes] = selector.split(".");
  const made = document.createElement(tag || "div");
  if (classes.length) made.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && !name.startsWith("aria") && name !== "list") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

export function counted(number, noun, plural = `${noun}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? noun : plural}`;
}

/** A reason as words: "few_photos" → "few photos". */
export const words = (reason) => reason.replaceAll("_", " ");

export const short = (number) => (Number.isInteger(number) ? String(number) : Number(number.toPrecision(3)).toString());

/** Calls `run` once the calls have paused for so many milliseconds. */
export function settled(run, milliseconds) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...given), milliseconds);
  };
}

let toastTimer = 0;

/** Tells something in passing, to eyes and to screen readers. */
export function tell(text, isError = false) {
  const toast = byId("toast");
  toast.textContent = text;
  toast.className = `toast shown${isError ? " error" : ""}`;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => toast.classList.remove("shown"), isError ? 8000 : 3200);
}
